"use strict";
// Shows contacts through the public API. The key comes from the field, or from the part of the address after #,
// which browsers do not send. It is stored for this tab only.

const $ = (id) => document.getElementById(id);
const main = document.querySelector("main");
let key = sessionStorage.getItem("key");
let cursor = null;

const fromAddress = new URLSearchParams(location.hash.slice(1)).get("key");
if (fromAddress) {
  key = fromAddress;
  history.replaceState(null, "", location.pathname);
}

// Adds text, never HTML, because names and tags come from strangers.
function element(name, content, attributes = {}) {
  const node = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value);
  node.append(...[content ?? ""].flat());
  return node;
}

async function request(path, body) {
  const answer = await fetch(path, {
    method: body ? "POST" : "GET",
    headers: { "X-Api-Key": key, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const content = await answer.json();
  if (answer.ok) return content;
  throw Object.assign(new Error(content.error ?? `HTTP ${answer.status}`), { status: answer.status });
}

async function showingProblems(action) {
  $("problem").hidden = true;
  try {
    await action();
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
  await loadPage();
  sessionStorage.setItem("key", key);
  $("enter").hidden = true;
  main.hidden = false;
  $("contacts").querySelector("tr")?.click();
}

async function loadPage() {
  const page = await request(`/v1/contacts?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
  for (const contact of page.data) $("contacts").append(row(contact));
  cursor = page.meta.next_cursor;
  $("more").hidden = !cursor;
}

function row(contact) {
  const open = element("button", contact.name || "(no name)", { type: "button" });
  const node = element("tr", [
    element("td", open),
    element("td", contact.phone_number),
    element("td", contact.email),
    element("td", contact.tags.map((tag) => element("span", tag, { class: "tag" }))),
  ]);
  node.addEventListener("click", () => showingProblems(() => show(contact.id, node)));
  return node;
}

async function find(value) {
  const type = value.startsWith("cnt_") ? "contact_id" : value.includes("@") ? "email" : "phone";
  const { data } = await request("/v1/contacts/resolve", { identifiers: [{ type, value }] });
  await show(data.id);
}

async function show(id, chosenRow) {
  const parts = ["", "/identities", "/tags", "/consents", "/suppressions?include=lifted"];
  const [contact, identities, tags, consents, suppressions] = (
    await Promise.all(parts.map((part) => request(`/v1/contacts/${id}${part}`)))
  ).map((answer) => answer.data);
  document.querySelector("tr[aria-selected]")?.removeAttribute("aria-selected");
  chosenRow?.setAttribute("aria-selected", "true");
  $("contact").replaceChildren(
    element("h2", contact.name || "(no name)"),
    element("p", contact.id, { class: "id" }),
    ...table("Identities", ["type", "value", "of", "since"], identities, (identity) => [
      identity.type + (identity.contested ? " (contested)" : ""), identity.value, identity.source, day(identity.first_seen_at),
    ]),
    ...table("Tags", ["tag", "said by", "at", "in"], tags, (tag) => [
      tag.name, tag.source, moment(tag.assigned_at), short(tag.envelope_id),
    ]),
    ...table("Consent", ["channel", "status", "said by", "at"], consents, (consent) => [
      `${consent.channel} ${consent.purpose}`, status(consent.status, consent.status === "opted_out"), consent.source,
      moment(consent.occurred_at),
    ]),
    ...table("Suppressions", ["channel", "reason", "state", "since"], suppressions, (row) => [
      row.channel, row.reason, status(row.active ? "active" : "lifted", row.active), moment(row.first_seen_at),
    ]),
    ...table("Fields", ["field", "value"], Object.entries(contact.custom_fields), ([name, value]) => [
      name, typeof value === "object" ? JSON.stringify(value) : String(value),
    ]),
  );
}

function table(title, names, rows, cells) {
  if (!rows.length) return [];
  const head = element("tr", names.map((name) => element("th", name)));
  const body = rows.map((row) => element("tr", cells(row).map((cell) => element("td", cell))));
  return [element("h3", title), element("table", [element("thead", head), element("tbody", body)])];
}

const status = (text, isNo) => element("span", text, isNo ? { class: "no" } : {});
const moment = (time) => (time ? time.slice(0, 19).replace("T", " ") : "");
const day = (time) => (time ? time.slice(0, 10) : "");
const short = (id) => (id ? `${id.slice(0, 16)}…` : "");

async function showQueue() {
  const answer = await fetch("/readyz").then((response) => response.json(), () => ({}));
  const age = answer.oldest_due_s;
  $("queue").textContent =
    age === undefined ? "the store does not answer" : age > 2 ? `the oldest delivery waits for ${age.toFixed(0)} s` : "up to date";
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  showingProblems(enter);
});
$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("value").value.trim()) showingProblems(() => find($("value").value.trim()));
});
$("more").addEventListener("click", () => showingProblems(loadPage));
showQueue();
setInterval(showQueue, 5000);
if (key) showingProblems(enter);
