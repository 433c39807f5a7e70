import { useEffect, useRef, useState } from 'preact/hooks';
import { get } from './api.js';

const TICK_MS = 1000;

/** Draws again after each change of `live`, and each second, because ages grow. */
export function useLive(live) {
  const [, setCount] = useState(0);
  useEffect(() => {
    const draw = () => setCount((count) => count + 1);
    const timer = setInterval(draw, TICK_MS);
    const end = live.watch(draw);
    return () => {
      clearInterval(timer);
      end();
    };
  }, [live]);
}

/**
 * Loads again when a key changes: `{ data, asked, error, isLoading, loadAgain }`, `asked` being the parameters of `data`. An older answer
 * never replaces a newer one.
 */
export function useLoaded(path, parameters, keys) {
  const [state, setState] = useState({ isLoading: true });
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    setState(({ data, asked }) => ({ data, asked, isLoading: true }));
    get(path, parameters).then(
      (data) => isCurrent && setState({ data, asked: parameters, isLoading: false }),
      (error) => isCurrent && setState({ error, isLoading: false }),
    );
    return () => {
      isCurrent = false;
    };
  }, [tries, ...keys]);
  return { ...state, loadAgain: () => setTries(tries + 1) };
}

/**
 * The lines of `boards` between two times, by board and metric: `{ lines, error, loadAgain }`. Loads only those that it has not, `atOnce`
 * boards with each request. Boards change their places often, and a database that draws all lines again has no time for readings.
 */
export function useLines(boards, { from, to, points, atOnce, generation }) {
  const [error, setError] = useState();
  const [lines, setLines] = useState(new Map());
  const asked = useRef(new Map()).current;
  // A board with another metric is asked for again.
  const keyOf = ({ metrics }) => `${to} ${generation} ${Object.keys(metrics).length}`;
  const load = async (missing) => {
    for (let first = 0; first < missing.length; first += atOnce) {
      const names = missing.slice(first, first + atOnce).map(({ name }) => name);
      const loaded = await get('history', { boards: names, from, to, points });
      setLines((known) => new Map([...known, ...loaded.map((line) => [`${line.board}/${line.metric}`, line])]));
    }
  };
  useEffect(() => {
    const missing = boards.filter((board) => asked.get(board.name) !== keyOf(board));
    missing.forEach((board) => asked.set(board.name, keyOf(board)));
    load(missing).catch(setError);
  });
  const loadAgain = () => {
    asked.clear();
    setError(undefined);
  };
  return { lines, error, loadAgain };
}

/** The part of the address after `#/`, as its segments. */
export function useRoute() {
  const [route, setRoute] = useState(readRoute);
  useEffect(() => {
    const update = () => setRoute(readRoute());
    addEventListener('hashchange', update);
    return () => removeEventListener('hashchange', update);
  }, []);
  return route;
}

/** Moves the focus to the new view, so that a screen reader and the next Tab go on there. */
export function useFocus(route) {
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) {
      document.querySelector('#main').focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [route.join('/')]);
}

function readRoute() {
  return location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decode);
}

/** An address that somebody typed may have a percent sign that is no escape. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
