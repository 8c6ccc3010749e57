// Every component: what it does, why, how old that is; and a dialog with everything about one of them.

import { html, useEffect, useRef } from '/vendor/htm-preact.js';
import { Icon } from '/flow.js';
import { doing, powerText, title, unknown } from '/words.js';
import { EvForm, OverrideForm } from '/forms.js';

const ORDER = ['grid', 'pv', 'battery', 'load', 'heat_pump', 'generator', 'shiftable_load', 'sheddable_load', 'charge_point'];

export function age(seconds, t) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 1.5) return t('justNow');
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return t('minutes', Math.round(seconds / 60));
  return t('hours', Math.round(seconds / 3600));
}

/** What its link suffers from now, or null: requests that bring nothing, answers that take long. */
export function link(d, t, f) {
  if (!d) return null;
  const lost = d.link.lost_lately;
  // Silent for a moment is a link that suffers; silent for good is said by another word.
  if (!d.online && (lost === null || lost > 0.6)) return null;
  const suffers = [
    lost !== null && lost >= 0.015 && t('linkLossy', f.n0(100 * lost)),
    d.link.answer_p50_ms !== null && d.link.answer_p50_ms >= 200 && t('linkSlow', f.n0(d.link.answer_p50_ms)),
  ].filter(Boolean);
  return suffers.length ? suffers.join(' · ') : null;
}

/** Another master writes to what this component is told. */
export function foreign(c) {
  return ((c.device && c.device.commands) || []).some((k) => k.component === c.id && k.foreign);
}

/** Null while the component can be trusted, else the word that says why not. */
export function trouble(c, t, f) {
  if (c.device && !c.device.online && !c.device.asleep) return t('silent');
  if (c.quality === 'stale') return t('stale');
  if (c.unknown_since) return unknown(t, f, c);
  if (c.power_kw === null && (c.quality === 'missing' || c.quality === 'invalid')) return t('unknown');
  return null;
}

export function Devices({ now, t, f, language, open }) {
  const list = [...now.components].sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
  return html`<section class="card devices">
    <header><h2>${t('devices')}</h2></header>
    <table>
      <thead><tr><th /><th>${t('does')}</th><th>${t('why')}</th><th class="num">${t(now.writes ? 'planned' : 'wouldWrite')}</th><th class="num">${t('age')}</th></tr></thead>
      <tbody>${list.map((c) => html`<${Line} key=${c.id} c=${c} writes=${now.writes} t=${t} f=${f} language=${language} open=${open} />`)}</tbody>
    </table>
  </section>`;
}

function Line({ c, writes, t, f, language, open }) {
  const bad = trouble(c, t, f);
  const suffers = link(c.device, t, f);
  const does = doing(t, f, c);
  const planned = powerText(t, f, c.kind, c.planned_kw);
  return html`<tr class=${`${bad ? 'bad' : does.state}${suffers ? ' suffers' : ''}`}>
    <th scope="row"><button class="plain" onClick=${() => open(c.id)} aria-label=${t('details', title(language, c))}><${Icon} kind=${c.kind} /><span>${title(language, c)}</span></button></th>
    <td class="does">${bad ? html`<span class="badge">${bad}</span>` : does.text}${extra(c, t, f)}${foreign(c) && html` <span class="badge">${t('foreign')}</span>`}</td>
    <td class="why">${c.override && c.override.in_force ? html`<span class="badge calm">${t('override')} ${t('until', f.clock(Date.parse(c.override.until)))}</span>` : reasonOf(c, writes, language)}</td>
    <td class=${`num ${writes ? '' : 'would'}`}>${!writes && c.would_write && html`<span class="label">${t('wouldWrite')}: </span>`}${writes ? planned : would(c, language)}</td>
    <td class="num">${suffers && html`<span class="badge">${suffers}</span> `}${age(c.age_s, t)}</td>
  </tr>`;
}

/** The plan's reason with its numbers where dispatch follows it, else dispatch's own, which says what is being done: only
    where it is. */
function reasonOf(c, writes, language) {
  if (c.why && c.why.why && c.why.why[language]) return c.why.why[language];
  return c.reason && writes ? c.reason.plain[language] : '';
}

/** What it would be told. */
function would(c, language) {
  return c.would_write ? c.would_write[language] : '–';
}

function extra(c, t, f) {
  if (c.soc !== null && c.soc !== undefined) return html` <span class="soft">${f.percent(c.soc)}</span>`;
  if (c.session) return html` <span class="soft">${f.n1(c.session.delivered_kwh)} / ${f.n1(c.session.energy_kwh)} kWh → ${f.clock(Date.parse(c.session.departure))}</span>`;
  if (c.room_celsius !== null && c.room_celsius !== undefined) return html` <span class="soft">${f.n1(c.room_celsius)} °C</span>`;
  return null;
}

/** Everything about one component, and what people may say about it. */
export function Details({ c, now, site, t, f, language, token, close }) {
  const ref = useRef(null);
  useEffect(() => {
    if (ref.current && !ref.current.open) ref.current.showModal();
  }, [c.id]);
  const rating = (site.components.find((s) => s.id === c.id) || {}).ratings || {};
  const facts = [
    [t('does'), doing(t, f, c).text],
    [t('planned'), powerText(t, f, c.kind, c.planned_kw)],
    now.writes ? [t('target'), target(c, t, f)] : [t('wouldWrite'), would(c, language)],
    [t('nodePrice'), c.why && c.why.node_price_per_kwh !== null ? html`${f.perKwh(c.why.node_price_per_kwh)}${c.why.node_price_one_sided && html` <span class="soft">${t('oneSided')}</span>`}` : null],
    [t('worth'), c.marginal_value_per_kwh === null ? null : f.perKwh(c.marginal_value_per_kwh)],
    [t('age'), age(c.age_s, t)],
    ...wire(c.device, t, f),
    [t('identity'), c.device ? t(c.device.identity) : null],
    ...((c.device && c.device.commands) || []).filter((k) => k.component === c.id).map((k) => [t('command'), `${k.command} ${t(typeof k.proof === 'string' ? k.proof : 'failed')}`]),
  ].filter(([, v]) => v !== null && v !== undefined);
  return html`<dialog ref=${ref} onClose=${close} onClick=${(e) => e.target === ref.current && ref.current.close()}>
    <div class="sheet">
      <header><h2><${Icon} kind=${c.kind} />${title(language, c)}</h2><button class="plain x" onClick=${() => ref.current.close()} aria-label=${t('close')}>✕</button></header>
      ${now.writes && (c.why || c.reason) && html`<p class="because">${c.why ? c.why.because[language] : c.reason.plain[language]}</p>`}
      ${!now.writes && html`<p class="because">${reasonOf(c, false, language)}</p>`}
      ${now.writes && c.why && c.why.other[language] && html`<p class="other">${c.why.other[language]}</p>`}
      ${c.device && c.device.trouble && !c.device.asleep && html`<p class="badge">${c.device.trouble_text[language]}</p>`}
      <dl>${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
      ${c.session && html`<${EvForm} c=${c} site=${site} now=${now} t=${t} f=${f} token=${token} />`}
      <${OverrideForm} c=${c} rating=${rating} t=${t} f=${f} token=${token} />
      ${!token && html`<p class="hint">${t('readOnly')}</p>`}
    </div>
  </dialog>`;
}

/** How the link of its device is doing. */
function wire(d, t, f) {
  if (!d) return [];
  const ms = (v) => (v === null ? '–' : `${f.n1(v)} ms`);
  return [
    [t('link'), link(d, t, f) ? html`${d.device} <span class="badge">${link(d, t, f)}</span>` : d.device],
    [t('answered'), `${ms(d.link.answer_p50_ms)}, ${ms(d.link.answer_p99_ms)}`],
    [t('requests'), `${f.n0(d.requests)}, ${f.n0(d.failures)}`],
    [t('unanswered'), `${f.n0(d.link.timeouts)}, ${f.n0(d.link.reconnects)}`],
    [t('restarts'), d.link.restarts > 0 ? f.n0(d.link.restarts) : null],
  ];
}

function target(c, t, f) {
  const g = c.target;
  if (!g) return null;
  if (g.release) return t('released');
  if (g.on !== undefined) return t(g.on ? 'on' : 'off');
  if (g.current_a !== undefined) return `${f.n1(g.current_a)} A`;
  if (g.power_limit_kw !== undefined) return t('atMost', f.kw(g.power_limit_kw));
  return powerText(t, f, c.kind, g.power_kw);
}
