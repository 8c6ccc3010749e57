//! Why something is done: data first, sentences (en, ko) from it.

use serde::{Deserialize, Serialize};

/// Language of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    En,
    Ko,
}

/// Reason of a decision: a stable code and the numbers that back it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub code: ReasonCode,
    /// Marginal value of a stored kWh, money per kWh, where it decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value_per_kwh: Option<f64>,
    /// Price compared with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price_per_kwh: Option<f64>,
    /// The limit that binds, kW or A.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<f64>,
}

impl Reason {
    pub fn new(code: ReasonCode) -> Self {
        Self {
            code,
            value_per_kwh: None,
            price_per_kwh: None,
            limit: None,
        }
    }
    pub fn worth(mut self, value: Option<f64>, price: Option<f64>) -> Self {
        (self.value_per_kwh, self.price_per_kwh) = (value, price);
        self
    }
    pub fn limited(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }
    /// A sentence for people.
    pub fn sentence(&self, language: Language) -> String {
        let mut text = match language {
            Language::En => self.code.en().to_owned(),
            Language::Ko => self.code.ko().to_owned(),
        };
        if let Some(limit) = self.limit {
            text += &match language {
                Language::En => format!(" (limit {limit:.1})"),
                Language::Ko => format!(" (한도 {limit:.1})"),
            };
        }
        if let (Some(value), Some(price)) = (self.value_per_kwh, self.price_per_kwh) {
            text += &match language {
                Language::En => format!(": stored kWh worth {value:.3}, price {price:.3}"),
                Language::Ko => format!(": 저장 kWh 가치 {value:.3}, 가격 {price:.3}"),
            };
        }
        text
    }
}

macro_rules! codes {
    ($($name:ident: $en:literal / $ko:literal),+ $(,)?) => {
        /// Stable code of a reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ReasonCode { $($name),+ }
        impl ReasonCode {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            pub fn en(self) -> &'static str { match self { $(Self::$name => $en),+ } }
            pub fn ko(self) -> &'static str { match self { $(Self::$name => $ko),+ } }
        }
    };
}

codes! {
    CoverLoad: "covers the load: a stored kWh is worth less than what the meter would charge" / "부하 공급: 저장 전력의 가치가 계량기 요금보다 낮음",
    StoreSurplus: "stores surplus: a stored kWh is worth more than what export pays" / "잉여 저장: 저장 전력의 가치가 판매 가격보다 높음",
    HoldForLater: "holds: the stored energy is worth more later" / "대기: 저장 전력이 나중에 더 가치 있음",
    GridCharge: "charges from the grid as planned: cheap now, dear later" / "계획에 따라 계통에서 충전: 지금 저렴함",
    SellStored: "sells stored energy as planned: the price is above its worth" / "계획에 따라 저장 전력 판매",
    ShavePeak: "holds the demand peak" / "최대수요 억제",
    FollowPlan: "follows the plan" / "계획에 따름",
    ChargeFast: "charges at once, as asked" / "요청에 따라 즉시 충전",
    ChargeCheap: "charges now: among the cheapest hours before departure" / "출발 전 가장 저렴한 시간에 충전",
    ChargeSurplus: "charges from PV surplus" / "태양광 잉여로 충전",
    WaitCheaper: "waits for cheaper hours before departure" / "출발 전 더 저렴한 시간 대기",
    ChargeDone: "has what it needs" / "필요량 충전 완료",
    CarTakesNothing: "on offer, but the car takes nothing: it is full or asleep" / "차량이 전력을 받지 않음: 완충 또는 절전 상태",
    MustChargeNow: "must charge now to be ready in time" / "제시간 완료를 위해 지금 충전",
    NoCar: "no car is plugged in" / "연결된 차량 없음",
    LimitImport: "held back by the import limit" / "수전 한도로 제한",
    LimitExport: "held back by the export limit" / "역송 한도로 제한",
    LimitFuse: "held back by a fuse" / "차단기 정격으로 제한",
    LimitExternal: "held back by an external limit" / "외부 제한 지시로 제한",
    LimitRating: "held back by its own rating" / "정격으로 제한",
    LimitSoc: "held back by its state of charge" / "충전 상태로 제한",
    CurtailNegative: "curtails: export would cost money" / "출력 제한: 역송 시 비용 발생",
    CurtailSurplus: "curtails: nobody can take the surplus" / "출력 제한: 잉여를 받을 곳이 없음",
    RunHeat: "heats now: cheap or sunny" / "지금 가열: 저렴하거나 햇빛이 좋음",
    ComfortHeat: "heats for comfort" / "쾌적 온도 유지를 위해 가열",
    HeatSatisfied: "warm enough" / "충분히 따뜻함",
    RunShiftable: "runs now as planned" / "계획대로 지금 작동",
    WaitShiftable: "waits for its planned time" / "계획된 시간 대기",
    DeadlineShiftable: "must run now to be done in time" / "마감 전에 끝내기 위해 작동",
    ShedLoad: "switched off: power is short" / "차단: 전력 부족",
    KeepServed: "served" / "공급 중",
    GeneratorNeeded: "runs: the battery alone would not last" / "가동: 배터리만으로 부족",
    GeneratorRest: "rests: the battery and the sun suffice" / "정지: 배터리와 태양광으로 충분",
    GeneratorMinimum: "stays on for its minimum running time" / "최소 운전 시간 유지",
    Override: "as told by a person, until it expires" / "사용자 지시 (만료까지)",
    Thermostat: "thermostat" / "온도조절기",
    RuleSelfConsumption: "self-consumption by rule" / "규칙에 따른 자가소비",
    PolicyIdle: "does nothing of its own" / "자체 동작 없음",
    FallbackNoPlan: "self-consumption by rule: there is no valid plan" / "유효한 계획 없음: 규칙에 따른 자가소비",
    SafeGridSilent: "safe: the grid meter is silent" / "안전 모드: 계통 계량기 응답 없음",
    SafeStart: "safe: waiting for the first good cycle" / "안전 모드: 첫 정상 주기 대기",
    DeviceSilent: "its device is silent" / "장치 응답 없음",
    HandedBack: "handed back to the device" / "장치에 제어권 반환",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_sentence_in_both_languages() {
        for code in ReasonCode::ALL {
            let reason = Reason::new(*code).worth(Some(0.1), Some(0.2)).limited(3.0);
            assert!(reason.sentence(Language::En).len() > 10);
            assert!(
                reason
                    .sentence(Language::Ko)
                    .chars()
                    .any(|c| ('가'..='힣').contains(&c)),
                "{code:?}"
            );
        }
    }
}
