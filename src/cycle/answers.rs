//! Answers to people that wait until what they said is on the disk.

use super::kept::Told;
use super::people::NotDone;
use super::reply::Reply;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a person is told once it is on the disk: what is in force now.
pub type Answer = Result<Reply, NotDone>;

/// A disk that has not taken a person's word by then is said to be too slow. The page waits 5 s in all, a cycle before the
/// word is heard and one until this is looked at.
const DISK_PATIENCE: Duration = Duration::from_millis(2500);

/// Whoever is first takes it out: the journal, or the end of patience.
type Slot = Arc<Mutex<Option<(oneshot::Sender<Answer>, Reply)>>>;

#[derive(Debug, Default)]
pub struct Answers {
    waiting: Vec<(Instant, Slot)>,
}

impl Answers {
    /// What the journal calls when it knows.
    pub fn promise(&mut self, answer: oneshot::Sender<Answer>, reply: Reply) -> Told {
        let slot: Slot = Arc::new(Mutex::new(Some((answer, reply))));
        self.waiting.push((Instant::now(), slot.clone()));
        Box::new(move |kept| give(&slot, kept.map_err(NotDone::NotKept)))
    }

    /// Answers for a disk that does not.
    pub fn look(&mut self) {
        self.waiting.retain(|(since, slot)| {
            if since.elapsed() >= DISK_PATIENCE {
                let why = format!("the disk has not taken it within {} s", DISK_PATIENCE.as_secs_f64());
                give(slot, Err(NotDone::NotKept(why)));
            }
            slot.lock().is_ok_and(|s| s.is_some())
        });
    }
}

fn give(slot: &Slot, kept: Result<(), NotDone>) {
    if let Some((answer, reply)) = slot.lock().ok().and_then(|mut s| s.take()) {
        // The asker may have gone; that changes nothing.
        let _gone = answer.send(kept.map(|()| reply));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::reply::{Effect, InForce};

    fn done() -> Reply {
        Reply {
            done: "done".into(),
            done_ko: "완료".into(),
            effect: Effect::Full,
            in_force: InForce::Released,
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_first_answer_counts_and_a_silent_disk_gets_one() {
        let mut answers = Answers::default();
        let (send, mut quick) = oneshot::channel();
        answers.promise(send, done())(Ok(()));
        assert_eq!(quick.try_recv(), Ok(Ok(done())));
        let (send, mut slow) = oneshot::channel();
        let late = answers.promise(send, done());
        answers.look();
        assert!(slow.try_recv().is_err(), "patience is not over");
        for waiting in &mut answers.waiting {
            waiting.0 -= DISK_PATIENCE;
        }
        answers.look();
        late(Ok(()));
        assert!(matches!(slow.try_recv(), Ok(Err(NotDone::NotKept(_)))));
        answers.look();
        assert!(answers.waiting.is_empty());
    }
}
