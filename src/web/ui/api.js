// Talks to the controller: reads, the live stream, and changes with the site's token.

const KEY = 'madang-token';

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

/** Takes the token out of `#token=…` so that it does not stay in the address bar. */
export function takeToken() {
  const found = /[#&]token=([0-9A-Za-z_-]+)/.exec(location.hash);
  if (found) {
    keepToken(found[1]);
    history.replaceState(null, '', location.pathname + location.search);
  }
  return sessionStorage.getItem(KEY);
}

/** An answer that did not come, or is none. */
class Unread extends Error {}

/** What to do where an answer did not come. Any other error is a fault of the page: it is thrown on, and the tests see it. */
export const unread = (then = () => {}) => (e) => {
  if (!(e instanceof Unread)) throw e;
  return then();
};

export async function read(path) {
  const none = (why) => { throw new Unread(`${path}: ${why}`); };
  const answer = await fetch(`/api/v1/${path}`).catch((e) => none(e.message));
  if (!answer.ok) none(answer.status);
  return answer.json().catch((e) => none(e.message));
}

/** Posts a change; gives `{ok, text}`: what is in force now, in the page's language, or why not. */
export async function say(path, body, language) {
  try {
    const answer = await fetch(`/api/v1/${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${sessionStorage.getItem(KEY)}` },
      body: JSON.stringify(body),
    });
    const told = await answer.json().catch(() => ({}));
    return { ok: answer.ok, text: answer.ok ? (language === 'ko' && told.done_ko) || told.done : told.error || String(answer.status) };
  } catch (e) {
    return { ok: false, text: String(e.message || e) };
  }
}

const AGAIN = 5000;

/** Follows the live stream. The browser connects again by itself where the stream ends, but not where it was refused. */
export function follow({ now, plan }) {
  let source;
  let again;
  const open = () => {
    source = new EventSource('/api/v1/live');
    source.addEventListener('now', (e) => now(JSON.parse(e.data)));
    source.addEventListener('plan', (e) => plan(JSON.parse(e.data)));
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN);
    });
  };
  open();
  return () => { clearTimeout(again); source.close(); };
}

/** Means of series since `from`, by key: `[[ms, value], …]`. */
export async function past(keys, from, step) {
  const all = {};
  for (let i = 0; i < keys.length; i += 60) {
    const q = new URLSearchParams({ series: keys.slice(i, i + 60).join(','), from: new Date(from).toISOString(), step_s: step });
    const got = await read(`history?${q}`);
    for (const [key, points] of Object.entries(got.series)) all[key] = points.map(([t, v]) => [Date.parse(t), v]);
  }
  return all;
}
