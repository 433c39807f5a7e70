import { useState } from 'preact/hooks';
import { formatMs, formatTime } from './format.js';
import { html } from './html.js';

const SHOWN = 40;

export function ExchangesView({ live }) {
  const [chosen, setChosen] = useState();
  const shown = live.exchanges.slice(0, SHOWN);
  const exchange = chosen ?? shown[0];
  return html`
    <h1>Exchanges</h1>
    ${
      exchange === undefined
        ? html`<p class="empty">No exchange since the server started.</p>`
        : html`<section class="card" aria-label="One exchange">
              <div class="card-head">
                <h2>${exchange.board ?? 'A board without a name'}: ${exchange.pattern}</h2>
                ${chosen && html`<button class="quiet" onClick=${() => setChosen(undefined)}>Follow the latest</button>`}
              </div>
              <${Waterfall} exchange=${exchange} />
            </section>
            <section class="card" aria-label="The latest exchanges">
              <div class="scroll" tabindex="0" role="region" aria-label="Exchanges">
                <table>
                  <thead>
                    <tr>
                      <th>Time</th>
                      <th>Board</th>
                      <th>Request</th>
                      <th>Outcome</th>
                      <th class="number">Took</th>
                      <th>Steps</th>
                    </tr>
                  </thead>
                  <tbody>
                    ${shown.map(
                      (each) =>
                        html`<tr key=${each.number} class=${each.number === exchange.number ? 'chosen' : ''}>
                          <td class="time">${formatTime(each.at)}</td>
                          <td>${each.board ?? '–'}</td>
                          <td><code>${each.pattern}</code></td>
                          <td><span class=${`badge ${each.outcome}`}>${each.outcome}</span></td>
                          <td class="number">${formatMs(each.end)}</td>
                          <td><button class="quiet" onClick=${() => setChosen(each)}>Show</button></td>
                        </tr>`,
                    )}
                  </tbody>
                </table>
              </div>
            </section>`
    }
  `;
}

/** The steps of one exchange on a common scale. */
export function Waterfall({ exchange }) {
  const { hello, request, handler, end, at, outcome, pattern } = exchange;
  const steps = [
    ['Hello to request', hello, request, 'network', 'The network, and the board that encrypts'],
    ['Request to handler', request, handler, 'server', 'The server verifies and decrypts'],
    pattern === 'inbox'
      ? ['Held for a command', handler, end, 'held', 'The server had no command yet, and waits up to 8 s for one']
      : [
          outcome === 'event' ? 'Handler' : 'Handler to reply',
          handler,
          end,
          'handler',
          'Your code and its database; the server encrypts and sends',
        ],
  ].filter(([, from]) => from !== null);
  return html`<div class="waterfall">
    <p class="hint">
      At ${formatTime(at)}, ${formatMs(end)} in all, <span class=${`badge ${outcome}`}>${outcome}</span>
    </p>
    <ol>
      ${steps.map(
        ([label, from, to, kind, about]) =>
          html`<li key=${label}>
            <span class="step" title=${about}>${label}</span>
            <span class="track" aria-hidden="true">
              <span
                class=${`span ${kind}`}
                style=${{ left: `${(from / end) * 100}%`, width: `${((to - from) / end) * 100}%` }}
              ></span>
            </span>
            <span class="number">${formatMs(to - from)}</span>
          </li>`,
      )}
    </ol>
  </div>`;
}
