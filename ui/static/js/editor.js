// Writing a campaign's text: chips insert columns where the cursor is, and leaving does not lose what is unsaved.

const text = document.getElementById("text");

document.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-insert]");
  if (!chip || !text) return;
  const { selectionStart, selectionEnd } = text;
  text.setRangeText(chip.dataset.insert, selectionStart, selectionEnd, "end");
  text.dispatchEvent(new Event("input", { bubbles: true }));
  text.focus();
});

const form = text?.form;
let unsaved = false;

form?.addEventListener("input", () => (unsaved = true));
form?.addEventListener("submit", () => (unsaved = false));
addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});

// The sender stands at the top of the phone, so a change of it is measured too.
document.getElementById("sender")?.addEventListener("change", recount);

// So do the channel and the options, which say how it is encoded.
for (const options of document.querySelectorAll("form details.drawer")) options.addEventListener("change", recount);

// A template's text is shown, and not written over.
const template = document.getElementById("template");

function showTemplate() {
  const chosen = template.selectedOptions[0].dataset.text;
  if (chosen !== undefined) text.value = chosen;
  text.readOnly = chosen !== undefined;
  for (const chip of document.querySelectorAll("#columns [data-insert]")) chip.disabled = text.readOnly;
}

if (template && text) {
  showTemplate();
  template.addEventListener("change", () => {
    showTemplate();
    recount();
  });
}

function recount() {
  document.body.dispatchEvent(new Event("recount"));
}
