// SPDX-License-Identifier: Apache-2.0
// What a reader of the page cannot see: text that is clipped, that lies outside the page, or too near to its ground in colour.
(() => {
    const luminance = ([red, green, blue]) => [red, green, blue]
        .map(part => part / 255)
        .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    // A canvas knows every notation of a colour.
    const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
    const pen = canvas.getContext("2d", {willReadFrequently: true});
    const known = new Map();
    const read = colour => {
        if (!known.has(colour)) {
            pen.clearRect(0, 0, 1, 1);
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
            const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
            known.set(colour, [red, green, blue, alpha / 255]);
        }
        return known.get(colour);
    };
    const over = ([red, green, blue, alpha], ground) =>
        [red, green, blue].map((part, at) => part * alpha + ground[at] * (1 - alpha));
    const groundOf = element => {
        const above = [];
        for (let part = element; part; part = part.parentElement) above.unshift(part);
        const canvasColour = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
        return above.reduce((ground, part) => over(read(getComputedStyle(part).backgroundColor), ground), canvasColour);
    };
    const isShown = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true});
    const scrolls = element => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);

    const wide = document.documentElement.clientWidth;
    const found = {overflow: document.documentElement.scrollWidth - wide, clipped: [], cut: [], over: [], faint: [], texts: 0};
    const lines = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
        if (!text || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName) || !isShown(element)) continue;
        if (element.tagName === "DETAILS" && !element.open) continue;
        const range = document.createRange();
        range.selectNodeContents(walker.currentNode);
        const box = range.getBoundingClientRect();
        if (box.width < 2 || box.height < 2 || element.closest(".skip, .skip-to-content, .visually-hidden")) continue;
        const side = element.closest(".sidebar-drawer, .toc-drawer");
        if (side && (side.getBoundingClientRect().right <= 0 || side.getBoundingClientRect().left >= wide)) continue;
        found.texts += 1;
        for (const line of range.getClientRects()) lines.push([line, text, element]);
        let scrolled = false;
        for (let part = element; part && part !== document.documentElement; part = part.parentElement) {
            scrolled ||= scrolls(part);
        }
        if (!scrolled && (box.left < -1 || box.right > wide + 1)) found.clipped.push(text.slice(0, 80));
        // Code wraps; only a table that was printed may have to be scrolled. Blanks at the end of a wrapped line hang out.
        const code = element.closest("pre");
        const isOutside = code && box.right > code.getBoundingClientRect().right && code.scrollWidth > code.clientWidth;
        if (isOutside && !element.closest(".go-Table")) found.cut.push(text.slice(0, 80));
        const ground = groundOf(element);
        const ink = over(read(getComputedStyle(element).color), ground);
        const [low, high] = [luminance(ink), luminance(ground)].sort((left, right) => left - right);
        const size = parseFloat(getComputedStyle(element).fontSize);
        const isLarge = size >= 24 || (size >= 18.66 && getComputedStyle(element).fontWeight >= 700);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < (isLarge ? 3 : 4.5)) found.faint.push(`${ratio.toFixed(2)} ${element.className}: ${text.slice(0, 60)}`);
    }
    // Lines of text that lie over one another; what is fixed or sticky may lie over what scrolls below it.
    const floats = element => {
        for (let part = element; part; part = part.parentElement) {
            if (["fixed", "sticky", "absolute"].includes(getComputedStyle(part).position)) return true;
        }
        return false;
    };
    const still = lines.filter(([, , element]) => !floats(element)).sort(([one], [other]) => one.top - other.top);
    still.forEach(([line, text], at) => {
        for (let next = at + 1; next < still.length && still[next][0].top < line.bottom - 4; next += 1) {
            const [other, words] = still[next];
            const wide = Math.min(line.right, other.right) - Math.max(line.left, other.left);
            if (wide > 2 && Math.min(line.bottom, other.bottom) - other.top > 6) {
                found.over.push(`${text.slice(0, 40)} / ${words.slice(0, 40)}`);
            }
        }
    });
    return found;
})()
