//! Korean: polite statements (합니다), each reason a sentence of its own.

use super::words::{clock, decimals, energy, is_nothing, number, power, with};
use super::{Action, Basis, COMFORT_K_H, Explanation, Voice};
use crate::model::ReasonCode as C;
use crate::time::Timestamp;

pub fn sentence(e: &Explanation) -> String {
    match alternative(e) {
        Some(other) => format!("{} {other}", reason(e)),
        None => reason(e),
    }
}

/// What and why.
pub fn reason(e: &Explanation) -> String {
    let (does, because) = parts(e);
    let all = [Some(format!("계획: {does}")), because, held(e)].into_iter().flatten();
    all.collect::<Vec<_>>().join(" ")
}

/// `지금` or `3시`: the moment of the sentence, before what it says of it.
fn when(e: &Explanation) -> String {
    match e.voice {
        Voice::Now => "지금".into(),
        Voice::Planned => time(e.from, e),
    }
}

/// `지금` or `그때`, before a verb.
fn then_or_now(e: &Explanation) -> &'static str {
    match e.voice {
        Voice::Now => "지금",
        Voice::Planned => "그때",
    }
}

/// `3.2 kW로`; a mean below what the component can do is a part of the time.
fn at_power(e: &Explanation) -> String {
    match e.least_kw {
        Some(least) if e.voice == Voice::Planned && e.power_kw < 0.98 * least => {
            format!("일부 시간만(평균 {})", power(e.power_kw))
        }
        _ => format!("{}로", power(e.power_kw)),
    }
}

/// Why alone.
pub fn because(e: &Explanation) -> Option<String> {
    let all = [parts(e).1, held(e)];
    let text = all.into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

pub fn money(amount: f64, currency: &str) -> String {
    let amount = number(amount, decimals(currency));
    match currency {
        "KRW" => format!("{amount}원"),
        "EUR" => format!("{amount}유로"),
        "USD" => format!("{amount}달러"),
        "JPY" => format!("{amount}엔"),
        other => format!("{amount} {other}"),
    }
}

/// `kWh당 0.08유로`
fn price(per_kwh: f64, e: &Explanation) -> String {
    format!("kWh당 {}", money(per_kwh, &e.currency))
}

/// `18시`, `다음 날 2시 15분`
pub(super) fn time(t: Timestamp, e: &Explanation) -> String {
    let (hour, minute, other_day) = clock(t, e.from, e.zone);
    let day = if other_day { "다음 날 " } else { "" };
    match minute {
        0 => format!("{day}{hour}시"),
        m => format!("{day}{hour}시 {m}분"),
    }
}

pub(super) fn subject(e: &Explanation) -> String {
    with(&e.title_ko, "이", "가")
}
pub(super) fn object(e: &Explanation) -> String {
    with(&e.title_ko, "을", "를")
}
pub(super) fn topic(e: &Explanation) -> String {
    with(&e.title_ko, "은", "는")
}
/// The amount as the object of a verb: `0.42유로를`, `1,240원을`.
fn taken(amount: String) -> String {
    with(&amount, "을", "를")
}

/// Price as the end of a clause; below zero one is paid for using electricity.
fn costs(p: f64, e: &Explanation) -> String {
    match is_nothing(p, &e.currency) {
        true => money(0.0, &e.currency),
        false if p < 0.0 => format!("kWh당 마이너스 {}", money(p, &e.currency)),
        false => price(p, e),
    }
}

pub(super) fn now_costs(e: &Explanation) -> Option<String> {
    Some(format!("{} 전기요금은 {}입니다.", when(e), costs(e.buy_per_kwh?, e)))
}

/// `지금 전기요금이 kWh당 0.08유로, 18시에는 kWh당 0.31유로이기 때문입니다.`
fn now_and_then(e: &Explanation) -> Option<String> {
    let now = costs(e.buy_per_kwh?, e);
    let (Some(at), Some(then)) = (e.compared_at, e.compared_per_kwh) else {
        return now_costs(e);
    };
    // what the first sentence has already named
    let at = match e.action {
        Action::Rest | Action::Off if e.kind != "battery" && e.voice == Voice::Planned => "그때는".to_owned(),
        _ => format!("{}에는", time(at, e)),
    };
    Some(format!(
        "{} 전기요금이 {now}, {at} {}이기 때문입니다.",
        when(e),
        costs(then, e)
    ))
}

fn selling(e: &Explanation) -> Option<String> {
    let p = e.sell_per_kwh?;
    let now = then_or_now(e);
    Some(match is_nothing(p, &e.currency) {
        true => format!("{now} 팔아도 받는 돈이 없습니다."),
        false if p < 0.0 => format!("{now} 팔면 오히려 {} 내야 합니다.", taken(price(p, e))),
        false => format!("{now} 팔면 {}밖에 받지 못합니다.", price(p, e)),
    })
}

fn later_use(e: &Explanation) -> Option<String> {
    let (at, p) = (e.compared_at?, e.compared_per_kwh?);
    Some(match is_nothing(p, &e.currency) || p < 0.0 {
        true => format!("저장한 전력은 {}에 사용합니다.", time(at, e)),
        false => format!("저장한 전력은 {}에 {}의 가치가 있습니다.", time(at, e), price(p, e)),
    })
}

fn refill(e: &Explanation) -> Option<String> {
    let (at, p) = (e.compared_at?, e.compared_per_kwh?);
    Some(match is_nothing(p, &e.currency) || p < 0.0 {
        true => format!("{}에 비용 없이 다시 채울 수 있습니다.", time(at, e)),
        false => format!("{}에 {}에 다시 채울 수 있습니다.", time(at, e), price(p, e)),
    })
}

fn join(parts: [Option<String>; 2]) -> Option<String> {
    let all: Vec<String> = parts.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// (what it does, why)
pub(super) fn parts(e: &Explanation) -> (String, Option<String>) {
    match e.kind.as_str() {
        _ if e.code == C::Override => told(e),
        "battery" => battery(e),
        "charge_point" => car(e),
        "generator" => generator(e),
        "heat_pump" => heat(e),
        "pv" => sun(e),
        "shiftable_load" | "deferrable_load" => run_once(e),
        "chp" | "boiler" | "hydro" => engine(e),
        "sheddable_load" | "load" => load(e),
        _ => meter(e),
    }
}

/// What a person told it, and until when.
fn told(e: &Explanation) -> (String, Option<String>) {
    let kw = power(e.power_kw);
    let does = match e.action {
        Action::Charge if e.kind == "charge_point" => format!("{}: {} 충전합니다.", e.title_ko, at_power(e)),
        Action::Charge => format!("{} {} 충전합니다.", object(e), at_power(e)),
        Action::Discharge => format!("{} {kw}를 공급합니다.", subject(e)),
        Action::Rest => format!("{} 쉬고 있습니다.", topic(e)),
        _ if e.kind == "pv" => format!("{} {kw}를 발전합니다.", subject(e)),
        _ if e.power_kw <= super::IDLE_KW => format!("{} 끕니다.", object(e)),
        _ => format!("{} {} 가동합니다.", object(e), at_power(e)),
    };
    let until = e.until.map_or_else(String::new, |t| format!("{}까지 ", time(t, e)));
    (does, Some(format!("{until}사용자 지시에 따릅니다.")))
}

fn battery(e: &Explanation) -> (String, Option<String>) {
    let kw = power(e.power_kw);
    let rests = |why: &str| (format!("{} 쉬고 있습니다.", topic(e)), Some(why.to_owned()));
    match e.code {
        C::GridCharge => (format!("{} 계통 전력으로 {kw} 충전합니다.", object(e)), now_and_then(e)),
        C::StoreSurplus => (
            format!("남는 전력 {kw}를 {}에 저장합니다.", e.title_ko),
            join([selling(e), later_use(e)]),
        ),
        C::CoverLoad if bound_by(e, "outage") => (
            format!("{} {kw}를 공급합니다.", subject(e)),
            Some("계통이 정전입니다.".into()),
        ),
        C::CoverLoad => (
            format!("{} {kw}를 공급합니다.", subject(e)),
            join([now_costs(e).or_else(|| sun_alone(e)), refill(e)]),
        ),
        C::SellStored => {
            let earns = e
                .sell_per_kwh
                .map(|p| format!("{} 팔면 {} 받습니다.", then_or_now(e), taken(price(p, e))));
            (
                format!("{}에 저장한 전력 {kw}를 계통에 판매합니다.", e.title_ko),
                join([earns, refill(e)]),
            )
        }
        C::ShavePeak => (format!("{} {kw}를 공급합니다.", subject(e)), Some(peak(e))),
        C::LimitSoc if e.binding.as_deref() == Some("full") => rests("이미 가득 찼습니다."),
        C::LimitSoc => rests("더 방전할 수 없을 만큼 비어 있습니다."),
        C::DeviceSilent => (
            format!("{} 그대로 둡니다.", topic(e)),
            Some("충전 상태를 알 수 없습니다.".into()),
        ),
        _ if bound_by(e, "reserve") => rests("남은 전력은 정전에 대비한 예비량입니다."),
        _ if bound_by(e, "lifeline") => rests("남은 전력은 정전 때 중요 부하가 버틸 수 있도록 남겨 둡니다."),
        _ => {
            let wait = match e.compared_at {
                Some(_) => now_and_then(e),
                None => Some(format!("{} 써도 이득이 없습니다.", then_or_now(e))),
            };
            (format!("{} 전력을 아껴 둡니다.", topic(e)), wait)
        }
    }
}

/// Where nothing is bought: what the battery makes up for.
fn sun_alone(e: &Explanation) -> Option<String> {
    (e.buy_per_kwh.is_none() && e.sell_per_kwh.is_none()).then(|| "태양광만으로는 부족합니다.".into())
}

fn bound_by(e: &Explanation, name: &str) -> bool {
    e.binding.as_deref() == Some(name)
}

fn peak(e: &Explanation) -> String {
    if bound_by(e, "subscribed power") {
        let most = e.limit_kw.map_or_else(|| "한도".to_owned(), power);
        return format!("계약전력 {most}를 넘지 않게 합니다.");
    }
    match e.limit_kw {
        Some(kw) => format!("이달 최대수요를 {}로 유지해 기본요금이 오르지 않게 합니다.", power(kw)),
        None => "이달 최대수요와 기본요금이 오르지 않게 합니다.".into(),
    }
}

fn car(e: &Explanation) -> (String, Option<String>) {
    let charges = format!("{}: {} 충전합니다.", e.title_ko, at_power(e));
    let leaves = e.until.map(|t| format!("출발 시각인 {}", time(t, e)));
    match e.code {
        C::CoverLoad | C::SellStored => {
            let given = match e.code {
                C::SellStored => format!(
                    "{}: 차량에 저장한 전력 {}를 계통에 판매합니다.",
                    e.title_ko,
                    power(e.power_kw)
                ),
                _ => format!("{}: 차량에서 {}를 공급합니다.", e.title_ko, power(e.power_kw)),
            };
            (given, battery(e).1)
        }
        C::ChargeFast => (charges, Some("차주가 최대한 빠른 충전을 원합니다.".into())),
        C::ChargeSurplus => (charges, Some("태양광 전력이 남기 때문입니다.".into())),
        C::MustChargeNow => {
            let before = leaves.unwrap_or_else(|| "출발 시각".into());
            (
                charges,
                Some(format!("{}까지 남은 시간을 모두 충전에 써야 합니다.", before)),
            )
        }
        C::ChargeCheap => {
            let before = e
                .until
                .map_or_else(|| "출발".to_owned(), |t| format!("{} 출발", time(t, e)));
            let because = match (e.buy_per_kwh, e.compared_per_kwh) {
                (Some(now), Some(most)) if most > now => {
                    let (now, most) = (costs(now, e), costs(most, e));
                    Some(format!(
                        "{} 전기요금은 {now}이지만, {before} 전까지 최고 {most}까지 오릅니다.",
                        when(e)
                    ))
                }
                _ => now_costs(e),
            };
            (charges, because)
        }
        C::WaitCheaper => {
            let wait = match e.compared_at {
                Some(t) => format!("{}: {}까지 기다립니다.", e.title_ko, time(t, e)),
                None => format!("{}: 기다립니다.", e.title_ko),
            };
            let cheaper = match (e.buy_per_kwh, e.compared_per_kwh) {
                (Some(now), Some(then)) if then < now && !is_nothing(now - then, &e.currency) => now_and_then(e),
                _ => leaves.map(|l| format!("{}까지 시간이 넉넉합니다.", l)),
            };
            (wait, cheaper)
        }
        C::ChargeDone => (format!("{}: 필요한 만큼 충전되었습니다.", e.title_ko), None),
        _ => (format!("{}: 연결된 차량이 없습니다.", e.title_ko), None),
    }
}

fn generator(e: &Explanation) -> (String, Option<String>) {
    let runs = format!("{} {} 가동합니다.", object(e), at_power(e));
    match e.code {
        C::GeneratorNeeded => {
            let because = match e.binding.as_deref() {
                Some("minimum power") => "배터리와 태양광만으로는 부족하며, 이보다 낮은 출력으로는 가동할 수 없습니다.",
                _ => "배터리와 태양광만으로는 부족합니다.",
            };
            (runs, Some(because.into()))
        }
        C::GeneratorMinimum => {
            let until = e.until.map_or_else(String::new, |t| format!("{}까지 ", time(t, e)));
            (runs, Some(format!("한번 켜면 {until}계속 가동해야 합니다.")))
        }
        _ => (
            format!("{} 꺼져 있습니다.", topic(e)),
            Some("배터리와 태양광만으로 충분합니다.".into()),
        ),
    }
}

/// CHP, boiler, turbine: what the other way to the same heat or power costs decides.
fn engine(e: &Explanation) -> (String, Option<String>) {
    let because = match (e.kind.as_str(), e.action) {
        ("hydro", Action::Run) => now_costs(e).unwrap_or_else(|| "전력이 필요합니다.".into()),
        ("hydro", _) => "물을 나중에 쓰는 편이 더 유리합니다.".into(),
        (_, Action::Run) => "필요한 열을 가장 저렴하게 만드는 방법입니다.".into(),
        _ => "필요한 열을 더 저렴하게 만드는 방법이 있습니다.".into(),
    };
    let does = match e.action {
        Action::Run => format!("{} {}로 가동합니다.", object(e), power(e.power_kw)),
        _ => format!("{} 꺼져 있습니다.", topic(e)),
    };
    (does, Some(because))
}

fn heat(e: &Explanation) -> (String, Option<String>) {
    let kw = at_power(e);
    match e.code {
        C::RunHeat => (format!("{} {kw} 가동해 열을 저장합니다.", object(e)), now_and_then(e)),
        C::ComfortHeat => (
            format!("{} {kw} 가동합니다.", object(e)),
            Some(format!("{} 난방이 필요합니다.", then_or_now(e))),
        ),
        C::HeatSatisfied => {
            let next = e
                .compared_at
                .map(|t| format!("다음 가동은 {} 계획되어 있습니다.", with(&time(t, e), "으로", "로")));
            (
                format!("{} 꺼져 있습니다.", topic(e)),
                join([Some("이미 충분히 따뜻합니다.".into()), next]),
            )
        }
        _ => (format!("{} 온도조절기를 따릅니다.", topic(e)), None),
    }
}

fn sun(e: &Explanation) -> (String, Option<String>) {
    let held = format!("{} 출력을 {}로 낮춥니다.", e.title_ko, power(e.power_kw));
    match e.code {
        C::CurtailNegative => {
            let because = e
                .sell_per_kwh
                .map(|p| format!("더 팔면 {} 내야 합니다.", taken(price(p, e))));
            (held, because)
        }
        C::LimitExport => {
            let most = e.limit_kw.map_or_else(|| "한도".to_owned(), power);
            (held, Some(format!("계통에는 {most}까지만 보낼 수 있습니다.")))
        }
        C::CurtailSurplus => (held, Some("남는 전력을 쓰거나 저장할 곳이 없습니다.".into())),
        _ if e.power_kw > super::IDLE_KW => (format!("{} {}를 생산합니다.", subject(e), power(e.power_kw)), None),
        _ => (format!("{} 쉬고 있습니다.", topic(e)), Some("햇빛이 없습니다.".into())),
    }
}

fn run_once(e: &Explanation) -> (String, Option<String>) {
    match (e.action, e.compared_at) {
        (Action::Run, _) => (
            format!("{} {}로 가동합니다.", object(e), power(e.power_kw)),
            now_and_then(e),
        ),
        (_, Some(t)) => {
            let saves = |(now, then): (f64, f64)| then < now && !is_nothing(now - then, &e.currency);
            let because = match e.buy_per_kwh.zip(e.compared_per_kwh).is_some_and(saves) {
                true => now_and_then(e),
                false => Some("그때 가동하는 것이 가장 유리합니다.".into()),
            };
            (format!("{} {}까지 기다립니다.", topic(e), time(t, e)), because)
        }
        _ => (
            format!("{} 꺼져 있습니다.", topic(e)),
            Some("가동할 때가 아닙니다.".into()),
        ),
    }
}

fn load(e: &Explanation) -> (String, Option<String>) {
    match e.code {
        C::ShedLoad => (
            format!("{} 끕니다.", object(e)),
            Some("모두에게 공급하기에는 전력이 부족합니다.".into()),
        ),
        _ => (format!("{} {}를 사용합니다.", subject(e), power(e.power_kw)), None),
    }
}

fn meter(e: &Explanation) -> (String, Option<String>) {
    let kw = power(e.power_kw);
    match e.code {
        _ if bound_by(e, "outage") => (
            "계통이 정전되어 전력을 받지 못합니다.".into(),
            Some("사이트가 스스로 공급합니다.".into()),
        ),
        C::LimitImport => (
            format!("계통에서 {kw}를 받습니다."),
            Some("수전 한도에 이르러 더 받을 수 없습니다.".into()),
        ),
        C::LimitExport => (
            format!("계통으로 {kw}를 보냅니다."),
            Some("역송 한도에 이르러 더 보낼 수 없습니다.".into()),
        ),
        C::ShavePeak => (format!("계통에서 {kw}를 받습니다."), Some(peak(e))),
        _ if e.power_kw <= super::IDLE_KW => (
            "계통과 주고받는 전력이 없습니다.".into(),
            Some("사이트가 스스로 공급합니다.".into()),
        ),
        _ if e.action == Action::Discharge => (
            format!("계통으로 {kw}를 보냅니다."),
            e.sell_per_kwh.map(|p| earned(p, e)),
        ),
        _ => (format!("계통에서 {kw}를 받습니다."), now_costs(e)),
    }
}

pub(super) fn earned(p: f64, e: &Explanation) -> String {
    match is_nothing(p, &e.currency) {
        true => format!("{}는 받는 돈이 없습니다.", then_or_now(e)),
        false if p < 0.0 => format!("{} {} 내야 합니다.", then_or_now(e), taken(price(p, e))),
        false => format!("{} {} 받습니다.", then_or_now(e), taken(price(p, e))),
    }
}

/// A limit that keeps a component from doing more of what it does.
fn held(e: &Explanation) -> Option<String> {
    if !matches!(e.action, Action::Charge | Action::Discharge | Action::Run) || e.kind == "grid" {
        return None;
    }
    match e.binding.as_deref()? {
        "import limit" => Some("수전 한도 때문에 더 늘릴 수 없습니다.".into()),
        "export limit" => Some("역송 한도 때문에 더 늘릴 수 없습니다.".into()),
        other => {
            let circuit = other.strip_prefix("circuit ")?;
            Some(format!("‘{circuit}’ 회로의 차단기 용량 때문에 더 늘릴 수 없습니다."))
        }
    }
}

/// What the best other choice would cost.
pub fn alternative(e: &Explanation) -> Option<String> {
    let a = e.alternative?;
    let (choice, even) = choice(e, a.action, a.power_kw)?;
    let nothing = is_nothing(a.extra_cost, &e.currency);
    let cost = with(&money(a.extra_cost, &e.currency), "이", "가");
    Some(match a.basis {
        _ if a.missed_kelvin_hours > COMFORT_K_H => format!("{choice} 실내가 원하는 온도를 벗어납니다."),
        _ if a.missed_kwh > 0.05 && e.kind == "shiftable_load" => format!("{choice} 제때 끝내지 못합니다."),
        _ if a.missed_kwh > 0.05 && e.kind == "deferrable_load" => {
            format!("{choice} 필요한 전력량에서 {}가 모자랍니다.", energy(a.missed_kwh))
        }
        _ if a.missed_kwh > 0.05 && e.kind == "charge_point" => {
            format!("{choice} 차량 충전량이 {} 모자랍니다.", energy(a.missed_kwh))
        }
        _ if a.missed_kwh > 0.05 => format!("{choice} {}를 공급하지 못합니다.", energy(a.missed_kwh)),
        Basis::Exact if nothing => format!("{even} 비용은 거의 같습니다."),
        Basis::AtLeast if nothing => return None,
        Basis::Exact if a.extra_cost < 0.0 => format!("{choice} {cost} 덜 듭니다."),
        Basis::Exact => format!("{choice} {cost} 더 듭니다."),
        Basis::AtLeast => format!("{choice} 적어도 {cost} 더 듭니다."),
    })
}

/// `…하면` and `…해도`.
fn choice(e: &Explanation, other: Action, kw: f64) -> Option<(String, String)> {
    let kw = power(kw);
    let at = match e.voice {
        Voice::Now => "지금",
        Voice::Planned => "대신",
    };
    let pair = |stem: &str, even: &str| Some((stem.to_owned(), even.to_owned()));
    let now = |verb: &str, even: &str| Some((format!("{at} {kw}{verb}"), format!("{at} {kw}{even}")));
    match (e.kind.as_str(), e.action, other) {
        (_, Action::Charge, Action::Rest) => pair("충전을 미루면", "충전을 미뤄도"),
        (_, Action::Discharge, Action::Rest) => pair(
            &format!("{at} 쓰지 않고 남겨 두면"),
            &format!("{at} 쓰지 않고 남겨 둬도"),
        ),
        ("battery" | "charge_point", _, Action::Charge) => now("로 충전하면", "로 충전해도"),
        ("battery", _, Action::Discharge) => now("를 공급하면", "를 공급해도"),
        ("charge_point", _, Action::Discharge) => pair(
            &format!("{at} 차량에서 {kw}를 공급하면"),
            &format!("{at} 차량에서 {kw}를 공급해도"),
        ),
        ("generator" | "chp" | "boiler" | "hydro", _, Action::Off) => pair("가동하지 않으면", "가동하지 않아도"),
        ("generator" | "heat_pump" | "deferrable_load" | "chp" | "boiler" | "hydro", _, Action::Run) => {
            pair(&format!("{at} 가동하면"), &format!("{at} 가동해도"))
        }
        ("heat_pump" | "deferrable_load", _, Action::Off) => pair("가동을 멈추면", "가동을 멈춰도"),
        ("shiftable_load", _, Action::Off) => pair("가동을 미루면", "가동을 미뤄도"),
        ("shiftable_load", _, Action::Run) => pair(&format!("{at} 시작하면"), &format!("{at} 시작해도")),
        ("pv", _, Action::Full) => pair("출력을 낮추지 않으면", "출력을 낮추지 않아도"),
        ("sheddable_load", _, Action::Full) => pair("켜 두면", "켜 둬도"),
        _ => None,
    }
}
