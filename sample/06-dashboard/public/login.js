import { useState } from 'preact/hooks';
import { post } from './api.js';
import { html } from './html.js';

export function Login({ onLoggedIn }) {
  const [password, setPassword] = useState('');
  const [message, setMessage] = useState('');
  const [isBusy, setBusy] = useState(false);

  const logIn = async (event) => {
    event.preventDefault();
    setBusy(true);
    setMessage('');
    try {
      await post('session', { password });
      onLoggedIn();
    } catch (error) {
      setMessage(error.status === 401 ? 'This is not the password.' : `${error.message}.`.replace(/\.+$/, '.'));
      setBusy(false);
    }
  };
  return html`
    <main class="alone">
      <form class="card login" onSubmit=${logIn}>
        <img src="/icon.svg" alt="" width="44" height="44" />
        <h1>Boards</h1>
        <label for="password">Password</label>
        <input
          id="password"
          type="password"
          autocomplete="current-password"
          required
          value=${password}
          onInput=${(event) => setPassword(event.target.value)}
          aria-describedby="login-hint"
        />
        <p id="login-hint" class="hint">The terminal showed it at the first start, or it is in DASHBOARD_PASSWORD.</p>
        <p role="alert" class="error-text">${message}</p>
        <button class="primary" disabled=${isBusy}>${isBusy ? 'Checking …' : 'Log in'}</button>
      </form>
    </main>
  `;
}
