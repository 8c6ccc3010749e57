//! What the library computes: days in virtual time, journals, histories, files, sentences. Bound by the processor.

#[path = "../support/mod.rs"]
mod support;

mod cars;
mod clean_days;
mod day;
mod explanations;
mod faulty_day;
mod fuzz;
mod history;
mod journal;
mod keys;
mod layers;
mod money;
mod real_input;
mod sites;
mod tariffs;
mod words;
