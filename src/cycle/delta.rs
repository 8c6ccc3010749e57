//! What changed between two states as JSON: a light state every few seconds is mostly what it was, and a card wears by bytes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Lays over the old object to give the new one. Other than a merge patch it keeps `null` as a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Objects hold only the keys that changed.
    set: Value,
    /// Paths of keys that are no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<Vec<String>>,
}

impl Delta {
    pub fn between(old: &Value, new: &Value) -> Self {
        let mut gone = Vec::new();
        let set = changed(old, new, &mut Vec::new(), &mut gone);
        let nothing = || Value::Object(Map::new());
        Self {
            set: set.unwrap_or_else(nothing),
            gone,
        }
    }

    pub fn apply(&self, to: &mut Value) {
        for path in &self.gone {
            let Some((last, above)) = path.split_last() else {
                continue;
            };
            let parent = above.iter().try_fold(&mut *to, |value, key| value.get_mut(key));
            if let Some(parent) = parent.and_then(Value::as_object_mut) {
                parent.remove(last);
            }
        }
        merge(to, &self.set);
    }
}

/// `None` where nothing changed.
fn changed(old: &Value, new: &Value, path: &mut Vec<String>, gone: &mut Vec<Vec<String>>) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    for key in old.keys().filter(|k| !new.contains_key(*k)) {
        path.push(key.clone());
        gone.push(path.clone());
        path.pop();
    }
    let mut set = Map::new();
    for (key, value) in new {
        let Some(before) = old.get(key) else {
            set.insert(key.clone(), value.clone());
            continue;
        };
        path.push(key.clone());
        if let Some(change) = changed(before, value, path, gone) {
            set.insert(key.clone(), change);
        }
        path.pop();
    }
    (!set.is_empty()).then_some(Value::Object(set))
}

fn merge(to: &mut Value, set: &Value) {
    match (to, set) {
        (Value::Object(to), Value::Object(set)) => {
            for (key, value) in set {
                match to.get_mut(key) {
                    Some(old) => merge(old, value),
                    None => drop(to.insert(key.clone(), value.clone())),
                }
            }
        }
        (to, set) => *to = set.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3..3i64).prop_map(Value::from),
            proptest::collection::vec(0..3i64, 0..3).prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, object)
    }

    fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[a-c]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_delta_laid_over_the_old_gives_the_new(old in object(value()), new in object(value())) {
            let delta = Delta::between(&old, &new);
            let written: Delta = serde_json::from_str(&serde_json::to_string(&delta).unwrap()).unwrap();
            let mut laid = old.clone();
            written.apply(&mut laid);
            prop_assert_eq!(laid, new);
        }
    }
}
