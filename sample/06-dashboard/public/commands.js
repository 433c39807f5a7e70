import { useState } from 'preact/hooks';
import { post } from './api.js';
import { formatDate } from './format.js';
import { html } from './html.js';

const STATES = { queued: 'Queued', sent: 'Sent', done: 'Done', expired: 'Expired' };

export function CommandsView({ live }) {
  return html`
    <h1>Commands</h1>
    <section class="card" aria-label="The latest commands">
      <${CommandList} commands=${live.commands} live=${live} />
    </section>
  `;
}

/** The way of the command that was just sent. */
const PROGRESS = {
  queued: (name, board) => `“${name}” waits for ${board} to fetch it.`,
  sent: (name, board) => `${board} has fetched “${name}”, and has not confirmed it yet.`,
  done: (name, board) => `${board} has run “${name}”.`,
  expired: (name, board) => `“${name}” has expired: ${board} did not confirm it in time.`,
};

/** @param commands of this board, as the server tells them. */
export function CommandForm({ board, commands }) {
  const [name, setName] = useState('');
  const [text, setText] = useState('');
  const [problem, setProblem] = useState();
  const [sent, setSent] = useState();
  const [isBusy, setBusy] = useState(false);

  const send = async (event) => {
    event.preventDefault();
    setProblem(undefined);
    setSent(undefined);
    let data = null;
    try {
      data = text.trim() === '' ? null : JSON.parse(text);
    } catch {
      setProblem('The data is not JSON. Texts need double quotes.');
      return;
    }
    setBusy(true);
    try {
      setSent(await post(`boards/${encodeURIComponent(board)}/commands`, { name, data }));
      setName('');
      setText('');
    } catch (error) {
      setProblem(`Not sent: ${error.message}`);
    }
    setBusy(false);
  };
  const { state } = commands.find(({ id }) => id === sent?.id) ?? { state: 'queued' };
  return html`<form class="command-form" onSubmit=${send}>
    <div>
      <label for="command-name">Command</label>
      <input
        id="command-name"
        required
        pattern="[A-Za-z][A-Za-z0-9_.\\-]*"
        maxlength="32"
        placeholder="led"
        title="Letters, digits, _ . and -; a letter first"
        value=${name}
        onInput=${(event) => setName(event.target.value)}
      />
    </div>
    <div class="grow">
      <label for="command-data">Data, as JSON</label>
      <input
        id="command-data"
        placeholder=${'{"on": true}'}
        value=${text}
        onInput=${(event) => setText(event.target.value)}
      />
    </div>
    <button class="primary" disabled=${isBusy} aria-describedby="command-note">Send</button>
    <p id="command-note" class="note">
      The board can't know that a command is from here: replies to unmodified boards are not authentic. Never let one
      open a door.
    </p>
    <p role="status" class=${problem ? 'error-text' : 'hint'}>
      ${problem ?? (sent && PROGRESS[state](sent.name, board))}
    </p>
  </form>`;
}

export function CommandList({ commands, isOfOneBoard }) {
  if (commands.length === 0) {
    return html`<p class="empty">
      No commands yet. ${isOfOneBoard ? 'The board fetches them within seconds.' : 'Send one from the page of a board.'}
    </p>`;
  }
  return html`<div class="scroll" tabindex="0" role="region" aria-label="List of commands">
    <table>
      <thead>
        <tr>
          ${!isOfOneBoard && html`<th>Board</th>`}
          <th>Command</th>
          <th>State</th>
          <th>Queued</th>
          <th>Result</th>
        </tr>
      </thead>
      <tbody>
        ${commands.map(
          ({ id, board, name, data, state, tries, createdAt, result }) =>
            html`<tr key=${id}>
              ${!isOfOneBoard && html`<td><a href=${`#/boards/${encodeURIComponent(board)}`}>${board}</a></td>`}
              <td><code>${name}${data !== null && ` ${JSON.stringify(data)}`}</code></td>
              <td>
                <span class=${`badge ${state}`}>${STATES[state]}</span>
                ${tries > 1 && html`<small> ${tries} tries</small>`}
              </td>
              <td class="time">${formatDate(createdAt)}</td>
              <td>${result !== null && html`<code>${JSON.stringify(result)}</code>`}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
