//! A component at this moment, in Korean: polite statements (합니다).

use super::bounds::Bound;
use super::claims::Way;
use super::ko::{earned, now_costs, object, parts, subject, time, topic};
use super::now::{Hand, Now};
use super::words::power;
use crate::model::{ReasonCode as C, Target};

pub fn sentence(n: &Now) -> String {
    let Some(way) = n.way() else { return unknown(n) };
    let (does, why) = (does(n, way), clauses(n));
    let mut all = vec![does];
    match &n.hand {
        Hand::Would { target } if n.follows == Some(true) && !is_ceiling(n, *target) => {
            all.push("장치 자체 제어에 따른 것이며, 마당도 같은 지시를 했을 것입니다.".into());
            all.extend(why);
        }
        Hand::Would { target } => {
            all.push("장치 자체 제어에 따른 것입니다.".into());
            all.push(format!("마당이라면 {} 했을 것입니다.", told(n, *target)));
            all.extend(why);
        }
        Hand::Refused { target } => all.push(format!(
            "{} 하는 명령을 장치가 받아들이지 않았습니다.",
            told(n, *target)
        )),
        Hand::Told { target } if n.follows == Some(false) => {
            all.push(format!("{} 하라는 지시를 받았습니다.", told(n, *target)));
            all.extend(why);
        }
        Hand::Other { until } => all.push(match until {
            Some(t) => format!("{}까지 다른 제어기에 맡겨 둡니다.", time(*t, &n.facts)),
            None => "다른 제어기에 맡겨 둡니다.".into(),
        }),
        Hand::Told { .. } | Hand::Itself | Hand::Nobody => all.extend(why),
    }
    all.extend(planned(n));
    all.join(" ")
}

pub fn because(n: &Now) -> Option<String> {
    n.way()?;
    let text = clauses(n).join(" ");
    (!text.is_empty()).then_some(text)
}

fn unknown(n: &Now) -> String {
    let what = match n.facts.kind.as_str() {
        "grid" => "계통과 주고받는 전력을".to_owned(),
        _ => format!("{}: 전력을", n.facts.title_ko),
    };
    match n.unknown_since {
        Some(t) => format!("{what} {}부터 알 수 없습니다.", time(t, &n.facts)),
        None => format!("{what} 알 수 없습니다."),
    }
}

/// What is measured, in words instead of signs.
fn does(n: &Now, way: Way) -> String {
    let e = &n.facts;
    let kw = power(n.power_kw.unwrap_or(f64::NAN));
    match (e.kind.as_str(), way) {
        ("battery", Way::In) => format!("{} {kw}로 충전하고 있습니다.", object(e)),
        ("battery", Way::Out) => format!("{} {kw}를 공급하고 있습니다.", subject(e)),
        ("battery", Way::Rest) => format!("{} 쉬고 있습니다.", topic(e)),
        ("charge_point", Way::In) => format!("{}: {kw}로 충전하고 있습니다.", e.title_ko),
        ("charge_point", Way::Out) => format!("{}: 차량에서 {kw}를 공급하고 있습니다.", e.title_ko),
        ("charge_point", Way::Rest) if n.plugged == Some(false) => format!("{}: 연결된 차량이 없습니다.", e.title_ko),
        ("charge_point", Way::Rest) => format!("{}: 충전하지 않고 있습니다.", e.title_ko),
        ("pv", Way::Out) => format!("{} {kw}를 생산하고 있습니다.", subject(e)),
        ("pv", Way::Rest) if n.asleep => format!("{} 일출까지 쉬고 있습니다.", topic(e)),
        ("pv", Way::Rest) => format!("{} 생산하지 않고 있습니다.", topic(e)),
        ("grid", Way::In) => format!("계통에서 {kw}를 받고 있습니다."),
        ("grid", Way::Out) => format!("계통으로 {kw}를 보내고 있습니다."),
        ("grid", Way::Rest) => "계통과 주고받는 전력이 없습니다.".into(),
        ("generator", Way::Out) => format!("{} {kw}로 가동하고 있습니다.", object(e)),
        ("heat_pump", Way::In) if is_standby(n) => format!("{} {kw}를 소비하고 있습니다.", subject(e)),
        ("heat_pump" | "shiftable_load", Way::In) => format!("{} {kw}로 가동하고 있습니다.", object(e)),
        ("generator" | "heat_pump" | "shiftable_load", Way::Rest) => format!("{} 꺼져 있습니다.", topic(e)),
        ("load" | "sheddable_load", Way::Rest) => format!("{}: 사용하는 전력이 없습니다.", e.title_ko),
        ("load" | "sheddable_load", Way::Out) => {
            format!("{}: 측정된 것보다 {kw}가 더 들어오고 있습니다.", e.title_ko)
        }
        (_, Way::In) => format!("{} {kw}를 사용하고 있습니다.", subject(e)),
        (_, Way::Out) => format!("{} {kw}를 내보내고 있습니다.", subject(e)),
        (_, Way::Rest) => format!("{} 쉬고 있습니다.", topic(e)),
    }
}

/// What a machine draws that does not run.
fn is_standby(n: &Now) -> bool {
    let least = n.facts.least_kw.unwrap_or(0.0);
    n.power_kw.is_some_and(|kw| kw < 0.5 * least)
}

/// A ceiling is not what a device does.
fn is_ceiling(n: &Now, target: Target) -> bool {
    matches!(target, Target::PowerLimit(_)) || n.facts.kind == "charge_point"
}

/// A target before `하라는` and `했을`.
fn told(n: &Now, target: Target) -> String {
    let battery = n.facts.kind == "battery";
    match target {
        Target::Power(p) if p.as_kw().abs() < Way::REST_KW => if battery { "쉬도록" } else { "끄도록" }.into(),
        Target::Power(p) if battery && p.as_kw() < 0.0 => format!("{}를 공급하도록", power(p.as_kw())),
        Target::Power(p) if battery => format!("{}로 충전하도록", power(p.as_kw())),
        Target::Power(p) => format!("{}로 가동하도록", power(p.as_kw())),
        Target::PowerLimit(p) => format!("최대 {}까지만 생산하도록", power(p.as_kw())),
        Target::Current(a) if a.as_amps() == 0.0 => "충전을 멈추도록".into(),
        Target::Current(a) => format!("최대 {}로 충전하도록", power(a.as_amps() * n.kw_per_amp)),
        Target::On(true) => "켜도록".into(),
        Target::On(false) => "끄도록".into(),
        Target::Release => "스스로 정하도록".into(),
    }
}

/// Why, sentence by sentence.
fn clauses(n: &Now) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    match n.facts.kind.as_str() {
        "grid" => all.extend(meter(n)),
        "load" => {}
        _ => all.extend(n.code.and_then(|code| reason(n, code))),
    }
    all.extend(n.bound.as_ref().map(|b| bound(n, b)));
    if n.held {
        all.push("남은 전력은 새로 켜질 부하를 위해 비워 둡니다.".into());
    }
    all
}

fn meter(n: &Now) -> Option<String> {
    match n.way()? {
        Way::In => now_costs(&n.facts),
        Way::Out => n.facts.sell_per_kwh.map(|p| earned(p, &n.facts)),
        Way::Rest => None,
    }
}

fn reason(n: &Now, code: C) -> Option<String> {
    let e = &n.facts;
    let until = || e.until.map_or_else(String::new, |t| format!("{}까지 ", time(t, e)));
    Some(match code {
        C::Override if n.hand == Hand::Itself => format!("사용자가 {}장치에 맡겼습니다.", until()),
        C::Override => format!("{}사용자 지시에 따릅니다.", until()),
        C::Thermostat => "자체 온도조절기를 따릅니다.".into(),
        C::RuleSelfConsumption => "규칙에 따라 남는 전력을 저장하고 사이트에 공급합니다.".into(),
        C::FallbackNoPlan => "유효한 계획이 없어 남는 전력을 저장하고 사이트에 공급합니다.".into(),
        C::SafeGridSilent if n.blind => "계통 계량기의 값을 쓸 수 없습니다.".into(),
        C::SafeGridSilent => "측정값이 몇 초 동안 정상일 때까지 안전 설정값을 유지합니다.".into(),
        C::HandedBack => "제어권을 장치에 돌려주었습니다.".into(),
        C::CarTakesNothing => "전력을 공급할 수 있지만 차량이 받지 않습니다. 가득 찼거나 절전 상태입니다.".into(),
        C::LimitRating => "정격 때문에 더 늘릴 수 없습니다.".into(),
        C::LimitSoc => match e.binding.as_deref()? {
            "full" => "이미 가득 찼습니다.".into(),
            "reserve" => "남은 전력은 정전에 대비한 예비량입니다.".into(),
            _ => "더 방전할 수 없을 만큼 비어 있습니다.".into(),
        },
        C::ShedLoad => "모두에게 공급하기에는 전력이 부족합니다.".into(),
        C::DeadlineShiftable => "제때 끝내려면 지금 가동해야 합니다.".into(),
        C::WaitShiftable => format!("{}에 가동할 계획입니다.", time(e.compared_at?, e)),
        C::LimitImport | C::LimitExport | C::LimitFuse | C::ShavePeak => return None,
        C::NoCar | C::KeepServed | C::PolicyIdle | C::FollowPlan | C::Ceiling => return None,
        C::ChargeDone => "필요한 만큼 충전되었습니다.".into(),
        _ => return parts(e).1,
    })
}

fn bound(n: &Now, bound: &Bound) -> String {
    let by = |source: &String| {
        if source == "site" {
            String::new()
        } else {
            format!("({source} 지시)")
        }
    };
    match bound {
        Bound::Import { kw, source } => format!("수전은 {}{}까지만 할 수 있습니다.", power(*kw), by(source)),
        Bound::Export { kw, source } => format!("역송은 {}{}까지만 할 수 있습니다.", power(*kw), by(source)),
        Bound::MainFuse { amps } => format!("주 차단기 {amps:.0} A에 이르러 더 늘릴 수 없습니다."),
        Bound::CircuitFuse { circuit, amps } => {
            format!("‘{circuit}’ 회로의 차단기 {amps:.0} A에 이르러 더 늘릴 수 없습니다.")
        }
        Bound::CircuitPower { circuit, kw } => {
            format!("‘{circuit}’ 회로의 한도 {}에 이르러 더 늘릴 수 없습니다.", power(*kw))
        }
        Bound::Demand { .. } if n.facts.kind == "battery" => "최대수요가 오르지 않게 합니다.".into(),
        Bound::Demand { .. } => "더 늘리면 최대수요가 오릅니다.".into(),
    }
}

/// What was planned for this interval, where something else happens.
fn planned(n: &Now) -> Option<String> {
    let kw = n.planned_kw.filter(|_| n.off_plan)?;
    let size = match n.facts.least_kw {
        Some(least) if kw.abs() < 0.98 * least => format!("평균 {}", power(kw)),
        _ => power(kw),
    };
    let doing = match (n.facts.kind.as_str(), Way::of(kw)) {
        ("battery" | "charge_point", Way::In) => format!("{size} 충전"),
        ("battery", Way::Out) => format!("{size} 공급"),
        ("battery", Way::Rest) => "대기".into(),
        ("charge_point", Way::Out) => format!("차량에서 {size} 공급"),
        ("charge_point", Way::Rest) => "충전하지 않음".into(),
        ("generator" | "heat_pump" | "shiftable_load", Way::Rest) => "꺼짐".into(),
        ("generator" | "heat_pump" | "shiftable_load", _) => format!("{size} 가동"),
        _ => return None,
    };
    Some(format!("계획: {doing}."))
}
