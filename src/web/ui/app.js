// The page: follows the controller and lays out what it says.

import { html, render, useState, useEffect, useMemo, useRef } from '/vendor/htm-preact.js';
import { takeToken, read, unread, follow, past } from '/api.js';
import { translator, title } from '/words.js';
import { formats } from '/format.js';
import { Flow } from '/flow.js';
import { Day, span } from '/day.js';
import { keys, STEP } from '/rows.js';
import { Devices, Details } from '/devices.js';
import { Control } from '/forms.js';
import { Money, Island } from '/money.js';

const token = takeToken();

// The past and the prices are read anew so often, and so soon again while the past does not reach the present, ms.
const EACH = 30000;
const SOON = 3000;

function useLanguage() {
  const asked = new URLSearchParams(location.search).get('lang');
  const known = asked || localStorage.getItem('madang-language') || (navigator.language.startsWith('ko') ? 'ko' : 'en');
  const [language, setLanguage] = useState(known === 'ko' ? 'ko' : 'en');
  useEffect(() => { document.documentElement.lang = language; }, [language]);
  return [language, (l) => { localStorage.setItem('madang-language', l); setLanguage(l); }];
}

/** Everything that is known, kept fresh: live where it streams, the rest each half minute of the page's time. */
function useSite() {
  const [site, setSite] = useState(null);
  const [now, setNow] = useState(null);
  const [plan, setPlan] = useState(null);
  const [day, setDay] = useState({ past: {}, prices: [] });
  const [lost, setLost] = useState(false);
  const heard = useRef(0);
  const fresh = (value) => { heard.current = Date.now(); setLost(false); setNow(value); };
  useEffect(() => {
    read('site').then(setSite).catch(unread(() => setLost(true)));
    read('now').then(fresh).catch(unread());
    read('plan').then(setPlan).catch(unread());
    const stop = follow({ now: fresh, plan: setPlan });
    // Without the stream the state is asked for, every so often: others may have taken all streams.
    const watch = setInterval(() => {
      const age = Date.now() - heard.current;
      if (age > 5000) setLost(true);
      if (age > 2500) read('now').then(fresh).catch(unread());
    }, 2000);
    return () => { stop(); clearInterval(watch); };
  }, []);
  const ready = !!(site && now);
  useEffect(() => {
    if (!ready) return undefined;
    const load = async () => {
      const latest = await read('now');
      const [from] = span(site.time_zone, Date.parse(latest.at));
      // each by itself: one that fails takes nothing from the other
      const part = (name, asked) => asked.then((value) => setDay((known) => ({ ...known, [name]: value })));
      const series = past(keys(latest), from, STEP);
      await Promise.all([part('past', series), part('prices', read('prices'))]);
      const reached = Object.values(await series).map((points) => (points.length ? points[points.length - 1][0] : 0));
      return Math.max(...reached) > Date.parse(latest.at) - 3 * STEP * 1000;
    };
    let timer;
    let over = false;
    const again = () => load().catch(unread(() => false))
      .then((whole) => { if (!over) timer = setTimeout(again, whole ? EACH : SOON); });
    again();
    return () => { over = true; clearTimeout(timer); };
  }, [ready, site]);
  return { site, now, plan, day, lost };
}

function Page() {
  const [language, setLanguage] = useLanguage();
  const { site, now, plan, day, lost } = useSite();
  const [opened, setOpened] = useState(null);
  const t = useMemo(() => translator(language), [language]);
  const f = useMemo(() => site && formats(language, site.time_zone, site.currency), [language, site]);
  if (!site || !now) return html`<main class="empty">${t('connecting')}</main>`;
  document.title = `${site.title[language]} · Madang`;
  const all = { now, site, t, f, language, token };
  const detailed = now.components.find((c) => c.id === opened);
  return html`<div class=${lost ? 'page lost' : 'page'}>
    <${Head} ...${all} lost=${lost} setLanguage=${setLanguage} />
    <main>
      <${Headline} ...${all} plan=${plan} />
      <div class="columns top">
        <section class="card"><${Flow} ...${all} /></section>
        <div class="stack">${site.connection ? html`<${Money} ...${all} />` : html`<${Island} ...${all} past=${day.past} />`}<${Notices} ...${all} /></div>
      </div>
      <${Day} ...${all} plan=${plan} past=${day.past} prices=${day.prices} />
      <div class="columns"><${Devices} ...${all} open=${setOpened} /><${Control} ...${all} /></div>
    </main>
    <footer>${foot(t, site)}</footer>
    ${detailed && html`<${Details} key=${detailed.id} c=${detailed} ...${all} close=${() => setOpened(null)} />`}
  </div>`;
}

function foot(t, site) {
  const link = (to) => html`<a href=${to}>${to}</a>`;
  return html`${t('foot', site.version)} ${link('/api/v1/openapi.json')} · ${t('footMetrics')} ${link('/metrics')}`;
}

function Head({ site, now, t, f, language, lost, setLanguage }) {
  const at = Date.parse(now.at);
  const tone = lost ? 'wrong' : { calm: 'right', quiet: 'quiet' }[now.state.tone] || 'warn';
  return html`<header class="head">
    <div class="site"><h1>${site.title[language]}</h1><time>${f.day(at)} · <span class="clock">${f.clock(at)}</span></time></div>
    <span class=${`pill ${tone}`} role="status">${lost ? t('lost', f.clock(at)) : now.state[language]}</span>
    <div class="languages" role="group" aria-label="Language">
      ${[['en', 'EN'], ['ko', '한국어']].map(([l, name]) => html`<button key=${l} lang=${l} class="plain" aria-pressed=${l === language} onClick=${() => setLanguage(l)}>${name}</button>`)}
    </div>
  </header>`;
}

function Headline({ now, t, f, language, plan }) {
  const s = now.sentence;
  const worth = s.value_per_kwh != null && s.price_per_kwh != null;
  return html`<div class="headline">
    <p class="what">${s.what ? s.what[language] : s[language]}${s.why && html`<span class="why"> — ${s.why[language]}.</span>`}${s.other && s.other[language] && html`<span class="why"> ${s.other[language]}</span>`}</p>
    <p class="soft">${[
      worth && `${t('worth')} ${f.perKwh(s.value_per_kwh)}`,
      worth && `${t(s.other ? 'nodePrice' : 'compared')} ${f.perKwh(s.price_per_kwh)}`,
      plan ? t('planMade', plan.id, f.clock(Date.parse(plan.made_at))) : t('noPlan'),
    ].filter(Boolean).join(' · ')}</p>
  </div>`;
}

/** Alarms of one kind in many places are told once. */
function grouped(alarms) {
  const kinds = new Map();
  for (const a of alarms) kinds.set(a.code, [...(kinds.get(a.code) || []), a]);
  return [...kinds.values()].flatMap((same) => (same.length > 3 ? [{ ...same[0], more: same.length - 1 }] : same));
}

function Notices({ now, t, f, language }) {
  // An alarm about a component says more than that it shows nothing.
  const told = new Set(now.alarms.map((a) => a.component));
  const devices = (c) => (c.device ? [c.id, c.device.device] : [c.id]);
  const unknown = now.components.filter((c) => c.unknown_since && !devices(c).some((id) => told.has(id)));
  return html`<section class="card notices"><h2>${t('notices')}</h2>
    ${now.alarms.length + unknown.length === 0
      ? html`<p class="soft">${t('allWell')}</p>`
      : html`<ul>${unknown.map((c) => html`<li key=${`unknown ${c.id}`}>${t('noValue', title(language, c))} <span class="soft">${t('since', f.clock(Date.parse(c.unknown_since)))}</span></li>`)}${grouped(now.alarms).map((a) => html`<li key=${`${a.code}${a.component}`}>${language === 'ko' ? a.text_ko : a.text_en}${a.more ? ` ${t('more', a.more)}` : ''} <span class="soft">${t('since', f.clock(Date.parse(a.since)))}</span></li>`)}</ul>`}
  </section>`;
}

render(html`<${Page} />`, document.getElementById('page'));
