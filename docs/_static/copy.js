// SPDX-License-Identifier: Apache-2.0
// A button at each console block that copies its commands, without prompts and output.
"use strict";

function commandsOf(block) {
    const copy = block.cloneNode(true);
    for (const part of copy.querySelectorAll('.gp, [class*="go"], .c')) {
        if (!part.matches(".c") || part.textContent.startsWith("# exit status ")) part.remove();
    }
    return copy.textContent.trim() + "\n";
}

document.addEventListener("DOMContentLoaded", () => {
    for (const block of document.querySelectorAll(".highlight-console pre")) {
        const button = document.createElement("button");
        button.className = "copy";
        button.type = "button";
        button.textContent = "Copy commands";
        button.addEventListener("click", async () => {
            await navigator.clipboard.writeText(commandsOf(block));
            button.textContent = "Copied";
        });
        block.parentElement.append(button);
    }
});
