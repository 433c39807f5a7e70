/** The page: login, then views by the part of the address after `#/`. */
import { render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { get, post } from './api.js';
import { BoardView } from './board-view.js';
import { BoardsView } from './boards-view.js';
import { CommandsView } from './commands.js';
import { ExchangesView } from './exchanges.js';
import { useFocus, useLive, useRoute } from './hooks.js';
import { html } from './html.js';
import { Live } from './live.js';
import { Login } from './login.js';
import { RejectionsView } from './rejections.js';

const VIEWS = [
  ['boards', 'Boards', BoardsView],
  ['rejections', 'Rejections', RejectionsView],
  ['exchanges', 'Exchanges', ExchangesView],
  ['commands', 'Commands', CommandsView],
];

const STATUS = { connecting: 'Connecting', live: 'Live', lost: 'Connection lost, trying again' };

function App() {
  const [isLoggedIn, setLoggedIn] = useState();
  const [error, setError] = useState();
  useEffect(() => {
    get('session').then((session) => setLoggedIn(session.isLoggedIn), setError);
  }, []);
  if (error) {
    return html`<main class="alone"><p role="alert">${error.message} Load the page again.</p></main>`;
  }
  if (isLoggedIn === undefined) {
    return html`<main class="alone"><p role="status">Loading …</p></main>`;
  }
  return isLoggedIn
    ? html`<${Dashboard} onLoggedOut=${() => setLoggedIn(false)} />`
    : html`<${Login} onLoggedIn=${() => setLoggedIn(true)} />`;
}

function Dashboard({ onLoggedOut }) {
  const live = useMemo(() => new Live(onLoggedOut), []);
  useEffect(() => {
    live.connect();
    return () => live.close();
  }, [live]);
  useLive(live);
  const route = useRoute();
  useFocus(route);
  const [place = 'boards', name] = route;
  const [, title, View] = VIEWS.find(([id]) => id === place) ?? VIEWS[0];
  useEffect(() => {
    document.title = name ?? title;
  }, [name, title]);

  const [problem, setProblem] = useState();
  const logOut = async () => {
    try {
      await post('session/end', {});
      onLoggedOut();
    } catch (error) {
      // The session goes on, so the page must not look as if it had ended.
      setProblem(`Not logged out: ${error.message}`);
    }
  };
  return html`
    <a class="skip" href="#main" onClick=${skipToMain}>Skip to the content</a>
    <header class="bar">
      <a class="brand" href="#/boards"><img src="/icon.svg" alt="" width="28" height="28" />Boards</a>
      <nav aria-label="Views">
        ${VIEWS.map(
          ([id, label]) => html`<a href=${`#/${id}`} aria-current=${id === place ? 'page' : undefined}>${label}</a>`,
        )}
      </nav>
      <div class="bar-end">
        <span class=${`pill ${live.status}`} role="status">${STATUS[live.status]}</span>
        <button class="quiet" onClick=${logOut}>Log out</button>
      </div>
    </header>
    <main id="main" tabindex="-1">
      ${problem && html`<p role="alert" class="error-text">${problem}</p>`}
      ${
        live.generation === 0
          ? html`<${FirstLoad} status=${live.status} />`
          : place === 'boards' && name !== undefined
            ? html`<${BoardView} live=${live} name=${name} key=${name} />`
            : html`<${View} live=${live} />`
      }
    </main>
    <footer>${live.database && `Stored in ${live.database}.`} Times are those of this device.</footer>
  `;
}

function FirstLoad({ status }) {
  return status === 'lost'
    ? html`<p class="empty" role="alert">The server does not answer. The page tries again by itself.</p>`
    : html`<p class="empty" role="status">Loading the boards …</p>`;
}

/** The address of a view is after `#`, so a plain link would leave the view. */
function skipToMain(event) {
  event.preventDefault();
  document.querySelector('#main').focus();
}

render(html`<${App} />`, document.querySelector('#app'));
