// Passkeys in the browser: ask the server for options, let the person's device sign, send it back.
// Elements: <button data-passkey="approve|enrol" data-begin="…" data-finish="…" data-done="…">.
// data-form: the form whose ticks and checkbox "pressed" go with an approval.
// data-body: what begins an approval; data-label: the field with a new key's name.
const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function post(url, body) {
  const csrf = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrf, Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error([json.title, json.next].filter(Boolean).join(" ") || `HTTP ${answer.status}`);
  return json;
}

function decode(options) {
  options.challenge = toBytes(options.challenge);
  if (options.user) options.user.id = toBytes(options.user.id);
  for (const list of [options.allowCredentials, options.excludeCredentials])
    for (const item of list || []) item.id = toBytes(item.id);
  return options;
}

function encode(credential) {
  const response = { clientDataJSON: toText(credential.response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature"])
    if (credential.response[name]) response[name] = toText(credential.response[name]);
  return { id: credential.id, rawId: toText(credential.rawId), type: credential.type, response };
}

async function run(button) {
  const note = document.querySelector("#passkey-note");
  button.disabled = true;
  note.hidden = true;
  try {
    const body = JSON.parse(button.dataset.body || "{}");
    if (button.dataset.form) {
      const given = new FormData(document.getElementById(button.dataset.form));
      Object.assign(body, { ticks: given.getAll("tick"), pressed: given.has("pressed") });
    }
    const begun = await post(button.dataset.begin, body);
    const publicKey = decode(begun.options);
    const credential = button.dataset.passkey === "enrol"
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
    const answer = { challenge_id: begun.challenge_id, response: encode(credential) };
    if (button.dataset.label) answer.label = document.getElementById(button.dataset.label).value;
    await post(button.dataset.finish, answer);
    location.assign(button.dataset.done);
  } catch (error) {
    note.textContent = error.name === "NotAllowedError" ? note.dataset.cancelled : error.message;
    note.hidden = false;
    note.focus();
    button.disabled = false;
  }
}

// One listener for all: a part of the page may be exchanged for a newer one after this has run.
document.addEventListener("click", (event) => {
  const passkey = event.target.closest("[data-passkey]");
  const open = event.target.closest("[data-open]");
  const close = event.target.closest("[data-close]");
  if (passkey) run(passkey);
  if (open) {
    event.preventDefault(); // without this script the link leads to a page that asks the same
    document.getElementById(open.dataset.open).showModal();
  }
  if (close) close.closest("dialog").close();
});
