"use strict";
// Looks at the store through the public API. The key comes from the field, or from the part of the address
// after #, which browsers do not send; it is kept for this tab only.

const $ = (id) => document.getElementById(id);
const main = document.querySelector("main");
let key = sessionStorage.getItem("key");
let cursor = null;

const fromAddress = new URLSearchParams(location.hash.slice(1)).get("key");
if (fromAddress) {
  key = fromAddress;
  history.replaceState(null, "", location.pathname);
}

// Text only: names and notes come from strangers, so nothing is ever read as HTML.
function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...[content ?? ""].flat());
  return made;
}

async function ask(path, body) {
  const answer = await fetch(path, {
    method: body ? "POST" : "GET",
    headers: { "X-Api-Key": key, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const content = await answer.json();
  if (answer.ok) return content;
  throw Object.assign(new Error(content.error ?? `HTTP ${answer.status}`), { status: answer.status });
}

async function guarded(work) {
  $("problem").hidden = true;
  try {
    await work();
  } catch (error) {
    if (error.status === 401) leave();
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }
}

function leave() {
  sessionStorage.removeItem("key");
  main.hidden = true;
  $("enter").hidden = false;
}

async function enter() {
  $("contacts").replaceChildren();
  cursor = null;
  await page();
  sessionStorage.setItem("key", key);
  $("enter").hidden = true;
  main.hidden = false;
  $("contacts").querySelector("tr")?.click();
}

async function page() {
  const found = await ask(`/v1/contacts?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
  for (const contact of found.data) $("contacts").append(row(contact));
  cursor = found.meta.next_cursor;
  $("more").hidden = !cursor;
}

function row(contact) {
  const open = element("button", contact.name || "(no name)", { type: "button" });
  const made = element("tr", [
    element("td", open),
    element("td", contact.phone_number),
    element("td", contact.email),
    element("td", contact.tags.map((tag) => element("span", tag, { class: "tag" }))),
  ]);
  made.addEventListener("click", () => guarded(() => show(contact.id, made)));
  return made;
}

async function find(value) {
  const kinds = value.startsWith("cnt_") ? ["contact_id"] : value.includes("@") ? ["email"] : ["phone"];
  const { data } = await ask("/v1/contacts/resolve", { identifiers: kinds.map((type) => ({ type, value })) });
  await show(data.id);
}

async function show(id, chosen) {
  const parts = ["", "/identities", "/tags", "/consents", "/suppressions?include=lifted"];
  const [contact, identities, tags, consents, suppressions] = (
    await Promise.all(parts.map((part) => ask(`/v1/contacts/${id}${part}`)))
  ).map((answer) => answer.data);
  document.querySelector("tr[aria-selected]")?.removeAttribute("aria-selected");
  chosen?.setAttribute("aria-selected", "true");
  $("contact").replaceChildren(
    element("h2", contact.name || "(no name)"),
    element("p", contact.id, { class: "id" }),
    ...table("Identities", ["type", "value", "of", "since"], identities, (one) => [
      one.type + (one.contested ? " (contested)" : ""), one.value, one.source, day(one.first_seen_at),
    ]),
    ...table("Tags", ["tag", "said by", "at", "in"], tags, (one) => [
      one.name, one.source, moment(one.assigned_at), short(one.envelope_id),
    ]),
    ...table("Consent", ["channel", "status", "said by", "at"], consents, (one) => [
      `${one.channel} ${one.purpose}`, status(one.status, one.status === "opted_out"), one.source, moment(one.occurred_at),
    ]),
    ...table("Suppressions", ["channel", "reason", "state", "since"], suppressions, (one) => [
      one.channel, one.reason, status(one.active ? "active" : "lifted", one.active), moment(one.first_seen_at),
    ]),
    ...table("Fields", ["field", "value"], Object.entries(contact.custom_fields), ([name, value]) => [
      name, typeof value === "object" ? JSON.stringify(value) : String(value),
    ]),
  );
}

function table(title, names, rows, cells) {
  if (!rows.length) return [];
  const head = element("tr", names.map((name) => element("th", name)));
  const body = rows.map((one) => element("tr", cells(one).map((cell) => element("td", cell))));
  return [element("h3", title), element("table", [element("thead", head), element("tbody", body)])];
}

const status = (text, isNo) => element("span", text, isNo ? { class: "no" } : {});
const moment = (time) => (time ? time.slice(0, 19).replace("T", " ") : "");
const day = (time) => (time ? time.slice(0, 10) : "");
const short = (id) => (id ? `${id.slice(0, 16)}…` : "");

async function queue() {
  const answer = await fetch("/readyz").then((response) => response.json(), () => ({}));
  const age = answer.oldest_due_s;
  $("queue").textContent =
    age === undefined ? "the store does not answer" : age > 2 ? `the oldest delivery waits for ${age.toFixed(0)} s` : "up to date";
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  guarded(enter);
});
$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("value").value.trim()) guarded(() => find($("value").value.trim()));
});
$("more").addEventListener("click", () => guarded(page));
queue();
setInterval(queue, 5000);
if (key) guarded(enter);
