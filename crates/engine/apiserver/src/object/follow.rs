//! A view derived from the store that is never behind it: brought up to date when it is asked for.
//!
//! A task that applied events in the background would answer from the past for a moment; a role just granted
//! would be refused. Here the reader itself takes in what was published since the last reader.

use std::sync::Arc;

use muster_store::{Change, Entry, Revision, Store, Watch};
use parking_lot::Mutex;

use super::Object;

/// What a view is told.
#[derive(Debug)]
pub enum Seen<'a> {
    /// The entry is there in this version.
    Put(&'a Entry<Object>),
    /// The entry is gone; this was its last version.
    Gone(&'a Entry<Object>),
}

/// State derived from objects.
pub trait View: Clone + Send + Sync + 'static {
    /// Takes in one change.
    fn apply(&mut self, seen: Seen<'_>);

    /// Called after a run of changes, before the view is read.
    fn settle(&mut self) {}
}

struct State<T> {
    view: Arc<T>,
    watches: Vec<Watch<Object>>,
    seen: Option<Revision>,
}

/// A view and where it stands.
pub struct Follow<T> {
    store: Store<Object>,
    resources: &'static [&'static str],
    empty: T,
    state: Mutex<State<T>>,
}

impl<T: View> Follow<T> {
    /// A view of `resources`, starting from `empty`. Reads nothing yet.
    pub fn new(store: Store<Object>, resources: &'static [&'static str], empty: T) -> Self {
        let state = State { view: Arc::new(empty.clone()), watches: Vec::new(), seen: None };
        Self { store, resources, empty, state: Mutex::new(state) }
    }

    /// The view, with everything that is visible in the store.
    pub fn current(&self) -> Arc<T> {
        let now = self.store.revision();
        let mut state = self.state.lock();
        if state.seen == Some(now) {
            return Arc::clone(&state.view);
        }
        if state.seen.is_none() || self.drain(&mut state).is_err() {
            self.rebuild(&mut state);
        }
        state.seen = Some(now);
        Arc::clone(&state.view)
    }

    fn drain(&self, state: &mut State<T>) -> Result<(), muster_store::WatchError> {
        let State { view, watches, .. } = state;
        let mut changed = false;
        for watch in watches {
            while let Some(event) = watch.try_next()? {
                changed = true;
                let view = Arc::make_mut(view);
                match event.change {
                    Change::Created | Change::Updated => view.apply(Seen::Put(&event.entry)),
                    Change::Deleted => view.apply(Seen::Gone(&event.entry)),
                }
            }
        }
        if changed {
            Arc::make_mut(view).settle();
        }
        Ok(())
    }

    fn rebuild(&self, state: &mut State<T>) {
        let mut view = self.empty.clone();
        state.watches.clear();
        for resource in self.resources {
            let snapshot = self.store.snapshot(resource);
            snapshot.iter().for_each(|entry| view.apply(Seen::Put(entry)));
            if let Ok(watch) = self.store.watch(resource, snapshot.revision()) {
                state.watches.push(watch);
            }
        }
        view.settle();
        state.view = Arc::new(view);
    }
}
