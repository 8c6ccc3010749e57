//! `GET /api/v1/why`: the alternative of one component in one interval, solved exactly, once for all who ask.

use super::desk::Desk;
use super::hub::Hub;
use super::plan;
use super::says::{failure, json_text, too_much};
use crate::model::Schedule;
use crate::site::Id;
use crate::time::Timestamp;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Answers kept: a page asks for three components in each of a hundred intervals.
const KEPT: usize = 512;

type Answer = Arc<OnceCell<Bytes>>;

/// Answers of one plan.
#[derive(Default)]
struct Kept {
    plan: Option<u64>,
    answers: BTreeMap<(Id, usize), Answer>,
}

impl Kept {
    fn answer(&mut self, plan: u64, key: (Id, usize)) -> Answer {
        if self.plan != Some(plan) || (self.answers.len() >= KEPT && !self.answers.contains_key(&key)) {
            *self = Self {
                plan: Some(plan),
                answers: BTreeMap::new(),
            };
        }
        self.answers.entry(key).or_default().clone()
    }
}

pub struct Whys {
    desk: Desk,
    kept: Mutex<Kept>,
}

impl Whys {
    pub fn new(desk: Desk) -> Self {
        Self {
            desk,
            kept: Mutex::default(),
        }
    }

    /// The answer for `component` in the interval of `at` (default: now).
    pub async fn tell(&self, hub: &Arc<Hub>, component: &str, at: Option<Timestamp>) -> Response {
        let Some(latest) = hub.latest() else {
            return failure(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not over yet");
        };
        let (state, id) = (&latest.report.state, Id::new(component));
        let Some(schedule) = state.schedule.clone() else {
            return failure(StatusCode::SERVICE_UNAVAILABLE, "there is no plan yet");
        };
        let Some(step) = schedule.grid.index_of(at.unwrap_or(latest.report.snapshot.at)) else {
            return failure(StatusCode::UNPROCESSABLE_ENTITY, "the plan does not reach that instant");
        };
        if schedule.explanation(&hub.site.plant, &id, step).is_none() {
            return failure(StatusCode::NOT_FOUND, "there is no such component");
        }
        let answer = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.answer(schedule.id, (id.clone(), step))
        };
        if let Some(known) = answer.get() {
            return json_text(known.clone()).into_response();
        }
        let Ok(_place) = self.desk.place() else {
            return too_much("too many alternatives are being solved");
        };
        match answer.get_or_try_init(|| self.solve(hub, schedule, id, step)).await {
            Ok(told) => json_text(told.clone()).into_response(),
            Err(why) => failure(StatusCode::INTERNAL_SERVER_ERROR, &why),
        }
    }

    async fn solve(&self, hub: &Arc<Hub>, schedule: Arc<Schedule>, id: Id, step: usize) -> Result<Bytes, String> {
        let hub = hub.clone();
        let told = self
            .desk
            .work(move || plan::why_one(&hub.site.plant, &schedule, &id, step));
        told.await?
            .map(|v| v.to_string().into())
            .ok_or_else(|| "there is no such component".to_owned())
    }
}
