/** Requests of the page. An error has the message of the server, or that of a lost connection. */

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A parameter with several values is an array. */
export async function get(path, parameters = {}) {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
  const query = new URLSearchParams(pairs).toString();
  return readAnswer(await ask(`/api/${path}${query && `?${query}`}`));
}

export async function post(path, body) {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return readAnswer(await ask(`/api/${path}`, init));
}

async function ask(address, init) {
  try {
    return await fetch(address, init);
  } catch {
    throw new ApiError(0, 'The server does not answer.');
  }
}

async function readAnswer(response) {
  if (response.ok) {
    return response.status === 204 ? undefined : response.json();
  }
  const { message = response.statusText } = await response.json().catch(() => ({}));
  throw new ApiError(response.status, message);
}
