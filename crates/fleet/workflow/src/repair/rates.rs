//! What each rung has fixed, per class, model and image.

use std::collections::{BTreeMap, HashMap};

use muster_api::repair::{FixRate, RATES_KEPT, RungAction};

use super::climb::{self, Opening, Tried};

/// How often something was done, and how often it helped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub tried: u32,
    pub fixed: u32,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    class: String,
    action: RungAction,
    /// Model and image; `None` counts every kind of machine.
    kind: Option<(String, String)>,
}

/// Counts by group.
#[derive(Clone, Debug, Default)]
pub struct Rates(BTreeMap<Group, Count>);

impl Rates {
    /// What is known of `action` against `class`: on the same kind of machine where that was tried often enough, else on
    /// all; and whether it is of the same kind.
    pub fn of(&self, class: &str, action: RungAction, kind: (&str, &str), samples: u32) -> (Count, bool) {
        let group = |kind| Group { class: class.to_owned(), action, kind };
        let known = |kind| self.0.get(&group(kind)).copied().unwrap_or_default();
        let same = known(Some((kind.0.to_owned(), kind.1.to_owned())));
        if samples <= same.tried { (same, true) } else { (known(None), false) }
    }

    /// Rows for the policy of `classes`, those with the most doings first.
    pub fn rows(&self, classes: &[String]) -> Vec<FixRate> {
        let mut rows: Vec<FixRate> = self
            .0
            .iter()
            .filter(|(group, count)| classes.contains(&group.class) && 0 < count.tried)
            .filter_map(|(group, count)| {
                let (model, image) = group.kind.clone()?;
                let Count { tried, fixed } = *count;
                Some(FixRate { class: group.class.clone(), action: group.action, model, image, tried, fixed })
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.tried));
        rows.truncate(RATES_KEPT);
        rows
    }

    fn add(&mut self, one: &Tried, fixed: bool, sign: Sign) {
        let (class, action) = (&one.rung.class, one.rung.action);
        let kind = (one.rung.model.clone(), one.rung.image.clone());
        for kind in [None, Some(kind)] {
            let count = self.0.entry(Group { class: class.clone(), action, kind }).or_default();
            let step = |of: u32, by: bool| match sign {
                Sign::More => of + u32::from(by),
                Sign::Less => of.saturating_sub(u32::from(by)),
            };
            *count = Count { tried: step(count.tried, true), fixed: step(count.fixed, fixed) };
        }
    }
}

#[derive(Clone, Copy)]
enum Sign {
    More,
    Less,
}

/// What is known of one problem.
#[derive(Clone, Debug, Default)]
struct Page {
    /// In the order in which they began.
    tried: Vec<Tried>,
    last: Option<Opening>,
}

/// What was tried for every problem, and the rates that follow from it.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pages: HashMap<String, Page>,
    rates: Rates,
}

impl Book {
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// What was tried for `problem`, in the order in which it began.
    pub fn tried(&self, problem: &str) -> &[Tried] {
        self.pages.get(problem).map_or(&[], |page| &page.tried)
    }

    /// A run for `problem` is as `new` now; `None`: it is gone.
    pub fn ran(&mut self, problem: &str, run: &str, new: Option<Tried>) {
        self.change(problem, |page| {
            page.tried.retain(|one| one.run != run);
            if let Some(new) = new {
                let at = page.tried.partition_point(|one| one.began <= new.began);
                page.tried.insert(at, new);
            }
        });
    }

    /// `problem` was seen open, or gone again.
    pub fn saw(&mut self, problem: &str, last: Opening) {
        if self.pages.get(problem).is_some_and(|page| page.last != Some(last)) {
            self.change(problem, |page| page.last = Some(last));
        }
    }

    fn change(&mut self, problem: &str, change: impl FnOnce(&mut Page)) {
        let page = self.pages.entry(problem.to_owned()).or_default();
        count(&mut self.rates, page, Sign::Less);
        change(page);
        count(&mut self.rates, page, Sign::More);
        if page.tried.is_empty() {
            self.pages.remove(problem);
        }
    }
}

fn count(rates: &mut Rates, page: &Page, sign: Sign) {
    for (index, one) in page.tried.iter().enumerate() {
        if let Some(fixed) = climb::fixed(&page.tried, index, page.last) {
            rates.add(one, fixed, sign);
        }
    }
}
