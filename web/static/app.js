// Comfort only: every page works without this file.
"use strict";

// A copy button on each code block. It copies the text of the block and nothing else.
for (const block of document.querySelectorAll("[data-copy]")) {
	const head = block.querySelector(".code-head");
	const text = document.getElementById(block.dataset.copy);
	if (!head || !text || !navigator.clipboard) continue;
	const button = document.createElement("button");
	button.type = "button";
	button.className = "button quiet small copy";
	button.textContent = "Copy";
	button.setAttribute("aria-label", "Copy " + (head.querySelector(".code-title")?.textContent || "code"));
	const said = document.createElement("span");
	said.className = "sr";
	said.setAttribute("role", "status");
	button.addEventListener("click", async () => {
		let word = "Copied";
		try {
			await navigator.clipboard.writeText(text.textContent.trim() + "\n");
		} catch {
			word = "Not copied";
		}
		button.textContent = said.textContent = word;
		setTimeout(() => {
			button.textContent = "Copy";
			said.textContent = "";
		}, 2000);
	});
	head.append(button, said);
}

// The choice of colours applies at once; without script its button does it.
for (const form of document.querySelectorAll("form[data-auto]")) {
	form.querySelector("select")?.addEventListener("change", () => form.requestSubmit());
}

// Open menus close on Escape and on a click outside.
const menus = document.querySelectorAll("details.role, details.menu, details.choice");
document.addEventListener("keydown", (event) => {
	if (event.key !== "Escape") return;
	for (const menu of menus) {
		if (!menu.open) continue;
		menu.open = false;
		menu.querySelector("summary").focus();
	}
});
document.addEventListener("click", (event) => {
	for (const menu of menus) {
		if (!menu.contains(event.target)) menu.open = false;
	}
});

// A summary of errors takes focus after the post.
document.getElementById("summary")?.focus();

// On a phone a code block that fits needs no tab stop; one that scrolls keeps it.
for (const region of document.querySelectorAll("pre[tabindex], .scroll[tabindex]")) {
	if (region.scrollWidth <= region.clientWidth) region.removeAttribute("tabindex");
}
