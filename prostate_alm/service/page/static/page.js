// What the pages do beyond HTML: they work without it by reload. Nothing here decides anything, and whatever fails
// here is said as "DCE recommended".
"use strict";

const POLL_MS = 3000;
const WHEEL_STEP = 50; // pixels of wheel travel a slice, so that a touchpad does not fly

const byId = (id) => document.getElementById(id);

function twoDigits(number) {
  return String(number).padStart(2, "0");
}

function localTimes(root) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("time")) {
    const time = new Date(element.dateTime);
    const clock = `${twoDigits(time.getHours())}:${twoDigits(time.getMinutes())}`;
    const day = `${time.getFullYear()}-${twoDigits(time.getMonth() + 1)}-${twoDigits(time.getDate())}`;
    element.textContent = time.toDateString() === today && !("full" in element.dataset) ? clock : `${day} ${clock}`;
  }
}

function showFault(text) {
  const fault = byId("fault");
  if (fault.textContent !== text) fault.textContent = text;
  fault.hidden = text === "";
}

async function fetched(address) {
  const response = await fetch(address, { headers: { Accept: "text/html, application/json" }, signal: AbortSignal.timeout(10000) });
  if (response.redirected || response.status === 401) throw new Error("logged out");
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response;
}

function faultOf(error, since) {
  if (error.message === "logged out") return "DCE recommended. You are logged out: load the page again to log in.";
  const at = `${twoDigits(since.getHours())}:${twoDigits(since.getMinutes())}`;
  return `DCE recommended for every study without an answer. No connection to the service since ${at}: this page may be out of date.`;
}

// repeats `step` until it returns true; a fault is shown, and cleared when the next step works
function repeatedly(step) {
  let lastGood = new Date();
  const turn = async () => {
    try {
      if (!document.hidden) {
        if (await step()) return;
        lastGood = new Date();
        showFault("");
      }
    } catch (error) {
      showFault(faultOf(error, lastGood));
    }
    setTimeout(turn, POLL_MS);
  };
  setTimeout(turn, POLL_MS);
}

function answersIn(root) {
  const rows = [...root.querySelectorAll("[data-study]")];
  return new Map(rows.map((row) => [row.dataset.study, row]));
}

function worklist() {
  const list = byId("worklist");
  let before = list.innerHTML;
  localTimes(list);
  repeatedly(async () => {
    const html = await (await fetched("/worklist")).text();
    const now = new Date();
    byId("updated").textContent = `updated ${twoDigits(now.getHours())}:${twoDigits(now.getMinutes())}:${twoDigits(now.getSeconds())}`;
    if (html.trim() === before.trim()) return false;
    before = html;
    const known = answersIn(list);
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    list.innerHTML = html;
    localTimes(list);
    if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    const news = [...answersIn(list)].filter(([id, row]) => row.dataset.answer !== (known.get(id)?.dataset.answer ?? ""));
    byId("news").textContent = news.map(([, row]) => `${row.querySelector(".patient").textContent}: ${row.dataset.answer}`).join(". ");
    return false;
  });
  document.addEventListener("keydown", (event) => {
    if (!["ArrowUp", "ArrowDown"].includes(event.key) || isField(event.target) || event.altKey || event.ctrlKey || event.metaKey) return;
    const links = [...list.querySelectorAll("a.patient")];
    const next = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    if (links[next]) {
      links[next].focus();
      event.preventDefault();
    }
  });
}

function isField(target) {
  return target instanceof Element && target.matches("input, textarea, select, summary");
}

function uploads() {
  const form = byId("upload");
  if (!form) return;
  let depth = 0;
  const dragging = (on) => document.body.classList.toggle("dragging", on);
  document.addEventListener("dragenter", () => dragging(++depth > 0));
  document.addEventListener("dragleave", () => dragging(--depth > 0));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    dragging(false);
    if (event.dataTransfer.files.length !== 1) {
      showFault("Nothing was sent, so: DCE recommended. Drop one zip with the DICOM files of one patient.");
    } else if (!form.querySelector("button").disabled) {
      form.reset();
      byId("file").files = event.dataTransfer.files;
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}

const REFUSALS = {
  401: "You are logged out: load the page again to log in.",
  403: "This login may not send studies.",
  409: "It was sent before with other content.",
  413: "It is larger than the service accepts.",
  422: "It is not a study: choose a zip of DICOM files, or T2 and DWI with b-values.",
  429: "The service is busy. Send it again in a minute.",
  507: "The service has no room left.",
};

function send(form) {
  const chosen = [...form.querySelectorAll("input[type=file]")].some((field) => field.files.length);
  if (!chosen) {
    showFault("Nothing was sent, so: DCE recommended. Choose a file first.");
    return;
  }
  const [bar, words, button] = [form.querySelector("progress"), byId("progress-words"), form.querySelector("button")];
  const content = new FormData();
  for (const [name, value] of new FormData(form)) if (value instanceof File ? value.size : value) content.append(name, value);
  const request = new XMLHttpRequest();
  const ended = (text) => {
    showFault(text);
    byId("progress").hidden = true;
    button.disabled = false;
  };
  request.upload.addEventListener("progress", (event) => {
    bar.value = event.lengthComputable ? event.loaded / event.total : 0;
    words.textContent = bar.value < 1 ? `${Math.round(bar.value * 100)} % sent` : "sent; waiting for the service";
  });
  request.addEventListener("load", () => {
    const place = new URL(request.responseURL).pathname;
    if (request.status === 200 && place.startsWith("/studies/")) location.assign(place);
    else if (place === "/login") ended(`DCE recommended: the study was not accepted. ${REFUSALS[401]}`);
    else ended(`DCE recommended: the study was not accepted. ${REFUSALS[request.status] ?? `The service answered ${request.status}.`}`);
  });
  for (const fault of ["error", "abort", "timeout"]) {
    request.addEventListener(fault, () => ended("DCE recommended: the study did not reach the service. Check the network and send it again."));
  }
  showFault("");
  byId("progress").hidden = false;
  button.disabled = true;
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "text/html");
  request.send(content);
}

function viewer() {
  const view = byId("viewer");
  if (!view) return;
  const slider = byId("slice");
  const height = Number(view.dataset.height);
  const show = (number) => {
    const slice = Math.min(Math.max(number, 1), Number(view.dataset.slices));
    slider.value = slice;
    byId("slice-number").textContent = slice;
    for (const stack of view.querySelectorAll(".stack")) stack.setAttribute("y", -(slice - 1) * height);
    history.replaceState(null, "", `?slice=${slice}`);
  };
  const step = (by) => show(Number(slider.value) + by);
  slider.addEventListener("input", () => show(Number(slider.value)));
  slider.form.addEventListener("submit", (event) => event.preventDefault());
  let travel = 0;
  view.addEventListener("wheel", (event) => {
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * WHEEL_STEP;
    if (event.ctrlKey) return;
    event.preventDefault();
    travel = Math.sign(travel) === Math.sign(pixels) ? travel + pixels : pixels;
    const slices = Math.trunc(travel / WHEEL_STEP);
    travel -= slices * WHEEL_STEP;
    if (slices) step(-slices); // away from you is up
  }, { passive: false });
  const keys = { ArrowLeft: -1, ArrowRight: 1 };
  const focusedKeys = { ArrowDown: -1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || isField(event.target)) return;
    const by = keys[event.key] ?? (view.contains(document.activeElement) ? focusedKeys[event.key] : undefined);
    if (by === undefined) return;
    event.preventDefault();
    step(by);
  });
  byId("overlay")?.addEventListener("change", (event) => view.classList.toggle("overlay-off", !event.target.checked));
}

function study() {
  const { study: id, state } = document.body.dataset;
  localTimes(document);
  viewer();
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !isField(event.target)) location.assign("/");
  });
  repeatedly(async () => {
    const now = await (await fetched(`/studies/${id}/state`)).json();
    if (now.state === state) return false;
    location.reload();
    return true;
  });
}

if (document.body.dataset.page === "worklist") {
  worklist();
  uploads();
}
if (document.body.dataset.page === "study") study();
