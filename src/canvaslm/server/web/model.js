// The model that this server serves, asked for once it is needed.

import { ask } from "./api.js";

let found = null;

/** The first model's id. Throws ApiError. */
export async function modelId() {
  found ??= (await ask("v1/models")).data[0].id;
  return found;
}

/** Whether it is the small model of the package, which has learnt single turns only. */
export function isPocket() {
  return found !== null && found.includes("pocket");
}
