//! What goes on beside the loop and concerns it: parts that are in trouble, devices that a watchdog has given back.

use super::{Controller, alarm};
use crate::cycle::ports::{Alarm, FieldPort, JournalPort, Record, Trouble};
use crate::model::Rung;
use crate::time::Timestamp;

/// Says what is wrong beside the loop; must not wait.
pub type Aside = Box<dyn Fn() -> Vec<Trouble> + Send>;

impl<F: FieldPort, J: JournalPort> Controller<F, J> {
    /// `aside` is asked in every cycle.
    pub fn watch(&mut self, aside: Aside) {
        self.aside = Some(aside);
    }

    /// No cycle ended for so long that the devices were given back beside the loop: control begins again in Safe.
    pub fn was_handed_back(&mut self, now: Timestamp) {
        if self.state.rung != Rung::Released {
            self.state.rung = Rung::Safe;
        }
        self.state.good_cycles = 0;
        self.intended.clear();
        self.state.field.intended.clear();
        let text = "no cycle ended for a while; the watchdog had given the devices back".to_owned();
        self.record(now, &Record::Note { text });
    }

    pub(super) fn aside_alarms(&self, now: Timestamp) -> Vec<Alarm> {
        let aside = self.aside.iter().flat_map(|ask| ask());
        let all = aside.chain(self.prices.trouble());
        all.map(|t| alarm(t.code, t.part.as_deref(), t.en, t.ko, now)).collect()
    }
}
