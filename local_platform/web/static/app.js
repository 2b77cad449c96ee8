// Fields that come and go, syncs as they run, buttons that wait. Everything else works without.
"use strict";

function answer(form, name) {
  const controls = [...form.querySelectorAll(`[name="${CSS.escape(name)}"]`)];
  const control = controls.find((each) => each.type !== "radio" || each.checked);
  if (!control) return "";
  if (control.type === "checkbox") return control.checked ? "true" : "false";
  return control.value;
}

function holds(form, [name, kind, value]) {
  const given = answer(form, name);
  if (kind === "bool") return (given === "true") === (value === "true");
  if (kind === "empty") return (given === "") === (value === "true");
  return kind === "" || given === value;
}

function showFields(form) {
  for (const field of form.querySelectorAll("[data-conditions]")) {
    const shown = JSON.parse(field.dataset.conditions).every((each) => holds(form, each));
    field.hidden = !shown;
    for (const control of field.querySelectorAll("input, select")) control.disabled = !shown;
  }
}

for (const form of document.querySelectorAll("form")) {
  if (form.querySelector("[data-conditions]")) {
    form.addEventListener("change", () => showFields(form));
    showFields(form);
  }
  form.addEventListener("submit", (event) => {
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
      event.preventDefault();
      return;
    }
    if (form.dataset.busy && event.submitter) {
      event.submitter.textContent = form.dataset.busy;
      event.submitter.setAttribute("aria-busy", "true");
      // After the form was read, which would leave a disabled button out.
      setTimeout(() => form.querySelectorAll("button").forEach((each) => (each.disabled = true)));
    }
  });
}
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

const live = document.getElementById("live");
if (live) {
  const events = new EventSource(live.dataset.events);
  events.addEventListener("progress", (event) => {
    live.innerHTML = event.data; // rendered by our templates, which escape every value
    const log = live.querySelector(".log");
    if (log) log.scrollTop = log.scrollHeight;
  });
  events.addEventListener("end", () => {
    events.close();
    window.location.reload();
  });
}
