import { useEffect, useState } from 'preact/hooks';
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
 * Loads again when a key changes: `{ data, asked, error, isLoading }`, `asked` being the parameters of `data`. An older answer never
 * replaces a newer one.
 */
export function useLoaded(path, parameters, keys) {
  const [state, setState] = useState({ isLoading: true });
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
  }, keys);
  return state;
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

function readRoute() {
  return location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);
}
