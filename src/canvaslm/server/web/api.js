// Requests to this server: OpenAI's error shape as errors, and a key when it asks for one.

import { events } from "./sse.js";

/** What the server refused, readably; `status` 0 means that it could not be reached. */
export class ApiError extends Error {
  constructor(status, { message = "", param = null, code = null } = {}) {
    super(message || `The server answered with status ${status}.`);
    Object.assign(this, { status, param, code });
  }
}

let key = null;

/** The JSON that a GET or, with a `body`, a POST of `path` answers. */
export async function ask(path, body, { signal } = {}) {
  return (await request(path, body, signal)).json();
}

/** The chunks of a streamed POST, each as JSON. Throws ApiError, also for an error on the way. */
export async function* stream(path, body, { signal } = {}) {
  const response = await request(path, { ...body, stream: true }, signal);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") continue; // and the body ends by itself
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiError(response.status, chunk.error);
    yield chunk;
  }
}

async function request(path, body, signal) {
  for (;;) {
    const response = await send(path, body, signal);
    if (response.ok) return response;
    if (response.status === 401 && (await askForKey(key !== null))) continue;
    throw new ApiError(response.status, await readError(response));
  }
}

async function send(path, body, signal) {
  const headers = {};
  if (key !== null) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const method = body === undefined ? "GET" : "POST";
  try {
    return await fetch(path, { method, headers, body: JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server cannot be reached. Is it still running?" });
  }
}

async function readError(response) {
  try {
    const { error } = await response.json();
    const wait = response.headers.get("retry-after");
    const later = wait ? ` Try again in ${wait} s.` : "";
    return { ...error, message: `${error.message}${later}` };
  } catch {
    return {};
  }
}

let asking = null;

/** Ask the person for a key, once for all requests that wait for it; whether one was given. */
function askForKey(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const input = document.getElementById("key-value");
    document.getElementById("key-title").textContent = wrong
      ? "That key is not known here: give another"
      : "This server asks for an API key";
    input.value = "";
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        asking = null;
        const given = dialog.returnValue === "use" && input.value !== "";
        if (given) key = input.value;
        input.value = "";
        resolve(given);
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}
