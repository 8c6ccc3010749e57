// Every word of the page, in both languages, and what a component does in words instead of signs.

const WORDS = {
  now: ['Now', '지금'],
  today: ['Today', '오늘'],
  todayCost: ['Cost today', '오늘 비용'],
  saved: ['saved so far', '지금까지 절감'],
  moreSoFar: ['more so far', '지금까지 추가'],
  savedHelp: ['against the same day with the batteries at rest', '배터리를 쓰지 않은 같은 날 대비'],
  'part-energy': ['Energy', '전력량 요금'],
  'part-demand': ['Demand charge added', '추가된 기본요금'],
  'part-fuel': ['Fuel', '연료비'],
  'part-wear': ['Battery wear', '배터리 마모'],
  'part-carbon': ['Carbon price', '탄소 비용'],
  'part-stored': ['Stored energy', '저장 에너지 증감'],
  countedFrom: ['Counted since {0}.', '{0}부터 집계했습니다.'],
  uncounted: ['{0} min are not counted.', '{0}분은 집계되지 않았습니다.'],
  notCounted: ['Not counted since {0}:', '{0}부터 집계 중단:'],
  'unknown-grid': ['power at the meter is unknown', '계량기 전력을 알 수 없음'],
  'unknown-price': ['the price is unknown', '요금을 알 수 없음'],
  'unknown-generator': ['power of the generator is unknown', '발전기 출력을 알 수 없음'],
  runs: ['{0} h, {1} starts', '{0}시간, 기동 {1}회'],
  runsOnce: ['{0} h, 1 start', '{0}시간, 기동 1회'],
  burnt: ['Fuel burnt', '연료 소비'],
  price: ['Price now', '현재 요금'],
  importPrice: ['to buy', '구매'],
  exportPrice: ['to sell', '판매'],
  estimated: ['estimated', '추정'],
  peak: ['Month peak', '이달 최대수요'],
  ofContract: ['of {0} contracted', '계약전력 {0}'],
  bought: ['Bought', '구매'],
  sold: ['Sold', '판매'],
  carbon: ['CO₂', 'CO₂'],
  sunShare: ['Share of sun today', '오늘 태양광 비율'],
  more: ['and {0} more', '외 {0}건'],
  notices: ['Notices', '알림'],
  allWell: ['Nothing to report', '특이사항 없음'],
  since: ['since {0}', '{0}부터'],
  plan: ['Plan', '계획'],
  actual: ['Actual', '실적'],
  dayPlan: ['first plan of the day', '오늘 첫 계획'],
  planMade: ['Plan {0}, made {1}', '계획 {0}, {1} 작성'],
  planTitle: ['Today, plan against actual', '오늘의 계획과 실적'],
  planHint: ['Tap a moment to see why.', '시점을 누르면 이유를 보여줍니다.'],
  nodePrice: ['One more kWh costs', '전력 1 kWh의 비용'],
  oneSided: ['about, it changes with use', '사용량에 따라 달라짐'],
  noPlan: ['There is no plan yet', '아직 계획이 없습니다'],
  grid: ['Grid', '계통'],
  load: ['Load', '부하'],
  pv: ['Solar', '태양광'],
  battery: ['Battery', '배터리'],
  soc: ['Stored', '저장량'],
  charge_point: ['Cars', '전기차'],
  heat_pump: ['Heat pump', '히트펌프'],
  generator: ['Generator', '발전기'],
  shiftable_load: ['Timed loads', '시간 이동 부하'],
  sheddable_load: ['Flexible loads', '차단 가능 부하'],
  chargers: ['{0} chargers', '충전기 {0}대'],
  charging: ['charging', '충전'],
  discharging: ['discharging', '방전'],
  resting: ['resting', '대기'],
  producing: ['producing', '발전'],
  using: ['using', '사용'],
  importing: ['buying', '수전'],
  exporting: ['selling', '역송'],
  balanced: ['in balance', '균형'],
  dark: ['no sun', '발전 없음'],
  heldBack: ['held back', '출력 제한'],
  asleep: ['asleep until sunrise', '일출까지 대기'],
  off: ['off', '꺼짐'],
  noCar: ['no car', '차량 없음'],
  waiting: ['car waiting', '차량 대기'],
  silent: ['silent', '응답 없음'],
  stale: ['stale', '오래된 값'],
  unknown: ['not known', '알 수 없음'],
  unknownSince: ['unknown since {0}', '{0}부터 알 수 없음'],
  noValue: ['No value from {0}', '{0} 값 없음'],
  wouldWrite: ['Would write', '지시할 값'],
  ifControlled: ['Planned only: nothing of this is written while Madang observes.', '계획일 뿐입니다. 관찰 중에는 아무것도 쓰지 않습니다.'],
  decidedThen: ['decided then', '당시 결정'],
  pastUnknown: ['Nothing is recorded of what was decided then.', '당시 결정에 대한 기록이 없습니다.'],
  notInForce: ['not in force while observing', '관찰 중에는 적용되지 않음'],
  devices: ['Devices', '장치'],
  does: ['Now', '현재'],
  why: ['Why', '이유'],
  planned: ['Plan now', '현재 계획'],
  age: ['Age', '경과'],
  details: ['Details of {0}', '{0} 상세'],
  close: ['Close', '닫기'],
  target: ['Setpoint', '설정값'],
  worth: ['One more stored kWh is worth', '저장 1 kWh의 가치'],
  link: ['Link', '통신 장치'],
  answered: ['Answers: half within, 99 % within', '응답 시간: 절반, 99 %'],
  requests: ['Requests, failed', '요청, 실패'],
  unanswered: ['Unanswered, reconnects', '무응답, 재연결'],
  restarts: ['Restarts of the device', '장치 재시작'],
  linkSlow: ['link slow, {0} ms', '통신 느림, {0} ms'],
  linkLossy: ['link loses {0} %', '통신 손실 {0} %'],
  foreign: ['another controller is active', '다른 제어기 동작 중'],
  command: ['Command', '명령'],
  verified: ['verified', '확인됨'],
  pending: ['waiting for its effect', '효과 대기 중'],
  unsure: ['to be sent again', '재전송 예정'],
  failed: ['failed', '실패'],
  identity: ['Identity', '식별'],
  confirmed: ['confirmed', '확인됨'],
  unchecked: ['not checked', '미확인'],
  mismatch: ['another device!', '불일치!'],
  released: ['left to the device', '장치에 맡김'],
  on: ['on', '켜짐'],
  atMost: ['at most {0}', '최대 {0}'],
  car: ['The car', '차량'],
  departure: ['Leaves at', '출발 시각'],
  energy: ['Energy wanted', '필요 전력량'],
  delivered: ['{0} of {1} kWh in the car', '{1} kWh 중 {0} kWh 충전됨'],
  mode: ['How', '방식'],
  fast: ['as fast as possible', '최대한 빠르게'],
  cheapest: ['ready in time, cheapest', '제시간에, 가장 저렴하게'],
  surplus: ['from solar surplus only', '태양광 잉여만'],
  save: ['Save', '저장'],
  override: ['Override', '수동 지시'],
  overrideHint: ['Stays inside all limits and ends by itself.', '모든 한도 안에서 적용되며 자동으로 끝납니다.'],
  value: ['Value', '값'],
  lasting: ['For', '기간'],
  begin: ['Begin', '시작'],
  end: ['End', '종료'],
  until: ['until {0}', '{0}까지'],
  charge: ['charge', '충전'],
  discharge: ['discharge', '방전'],
  limit: ['limit', '제한'],
  release: ['leave it to the device', '장치에 맡기기'],
  away: ['Away', '부재'],
  awayHint: ['Nobody is there: loads are expected to draw what they draw without people.', '집을 비우는 동안 부하를 사람이 없을 때의 사용량으로 예측합니다.'],
  days: ['{0} d', '{0}일'],
  control: ['Control', '제어'],
  observeMode: ['Observe', '관찰'],
  controlMode: ['Control', '제어'],
  observeHelp: ['Reads and plans; writes nothing.', '읽고 계획만 하며 쓰지 않습니다.'],
  controlHelp: ['Writes setpoints each cycle, inside all limits.', '모든 한도 안에서 매 주기 설정값을 씁니다.'],
  handBack: ['Hand back to the devices', '장치에 제어권 반환'],
  handBackAsk: ['Hand everything back to the devices? Madang then only observes until you choose Control again.', '모든 제어권을 장치에 반환할까요? 다시 제어를 선택할 때까지 관찰만 합니다.'],
  takeAsk: ['Let Madang write setpoints to the devices of this site?', '마당이 이 사이트의 장치에 설정값을 쓰도록 할까요?'],
  yes: ['Yes', '예'],
  no: ['No', '아니요'],
  direction: ['Direction', '방향'],
  compared: ['compared with', '비교 가격'],
  priceRow: ['Price', '요금'],
  'peak-period': ['peak hours', '최대부하'],
  'mid-period': ['mid hours', '중간부하'],
  'off-peak-period': ['off-peak hours', '경부하'],
  external: ['Limits', '한도'],
  externalHint: ['The tightest limit applies; setting another never loosens it.', '가장 엄격한 한도가 적용되며, 다른 한도를 설정해도 완화되지 않습니다.'],
  siteOwn: ['the site’s own', '사이트 자체 한도'],
  holds: ['in force', '적용 중'],
  import: ['Import', '수전'],
  export: ['Export', '역송'],
  set: ['Set', '적용'],
  readOnly: ['Read only', '읽기 전용'],
  readOnlyHelp: ['Changes need the token that stands in api.json of the state folder; Madang prints where that is when it starts.', '변경하려면 상태 폴더의 api.json에 있는 토큰이 필요합니다. 위치는 마당을 시작할 때 출력됩니다.'],
  token: ['Token', '토큰'],
  unlock: ['Unlock', '잠금 해제'],
  lost: ['No news since {0}', '{0} 이후 소식 없음'],
  connecting: ['Connecting …', '연결 중 …'],
  hours: ['{0} h', '{0}시간'],
  minutes: ['{0} min', '{0}분'],
  ago: ['{0} ago', '{0} 전'],
  justNow: ['just now', '방금'],
  day: ['day', '일'],
  tomorrow: ['tomorrow', '내일'],
  import_: ['Grid', '계통'],
  planWord: ['plan', '계획'],
  foot: ['Madang {0} · the same facts as JSON:', '마당 {0} · 같은 정보, JSON:'],
  footMetrics: ['for Prometheus:', 'Prometheus용:'],
};

/** Gives `t(key, ...values)` for a language. */
export function translator(language) {
  const column = language === 'ko' ? 1 : 0;
  return (key, ...values) => {
    const words = WORDS[key];
    if (!words) return key;
    return values.reduce((text, v, i) => text.replace(`{${i}}`, v), words[column]);
  };
}

/** Powers below this are shown as rest, kW. */
export const RESTING = 0.05;

/** Words for a positive and a negative power. */
const WAYS = { grid: ['importing', 'exporting'], battery: ['charging', 'discharging'], charge_point: ['charging', 'discharging'] };

/** What a component does: `{text, kw, state}`; `state` is in, out, rest or lost (`in` = into the component). */
export function doing(t, f, c) {
  const kw = c.power_kw;
  if (kw === null || kw === undefined) return { text: unknown(t, f, c), kw: null, state: 'lost' };
  const state = Math.abs(kw) < RESTING ? 'rest' : kw > 0 ? 'in' : 'out';
  if (state === 'rest') return { text: rest(t, c), kw: 0, state };
  const word = WAYS[c.kind] || ['using', 'producing'];
  // The grid's power is positive when it feeds the site, everyone else's when they take.
  const flow = c.kind === 'grid' ? (kw > 0 ? 'out' : 'in') : state;
  return { text: `${t(word[kw > 0 ? 0 : 1])} ${f.kw(Math.abs(kw))}`, kw: Math.abs(kw), state: flow };
}

/** The word that stands for the sign of a power that may flow both ways; empty at rest and for all others. */
export function directionOf(t, kind, kw) {
  const known = kw !== null && kw !== undefined && Math.abs(kw) >= RESTING;
  return known && ['grid', 'battery'].includes(kind) ? t(WAYS[kind][kw > 0 ? 0 : 1]) : '';
}

/** A power as people say it, with its direction where it may flow both ways. */
export function powerText(t, f, kind, kw) {
  if (kw === null || kw === undefined) return '–';
  return `${directionOf(t, kind, kw)} ${f.kw(Math.abs(kw) < RESTING ? 0 : Math.abs(kw))}`.trim();
}

/** Why there is no value, and since when. */
export function unknown(t, f, c) {
  return c.unknown_since ? t('unknownSince', f.clock(Date.parse(c.unknown_since))) : t('unknown');
}

function isHeldBack(c) {
  return !!c.reason && /^(curtail|limit)/.test(c.reason.code);
}

function rest(t, c) {
  switch (c.kind) {
    case 'grid': return t('balanced');
    case 'pv': return t(c.device && c.device.asleep ? 'asleep' : isHeldBack(c) ? 'heldBack' : 'dark');
    case 'charge_point': return t({ true: 'waiting', false: 'noCar' }[c.plugged] || 'unknown');
    case 'battery': return t('resting');
    default: return t('off');
  }
}

/** A component's name in the language. */
export function title(language, c) {
  return (c.title && c.title[language]) || c.id;
}
