//! The play: what happens next, in the order of virtual time.

mod disaster;
mod judge;
mod people;
mod tell;

pub use disaster::{Disaster, Struck};

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::RepairPolicy;
use muster_api::machine::Phase;
use muster_api::order::{Executor, OrderPhase, Verb};
use muster_api::problem::{EpisodeKey, State};
use muster_api::repair::{RungAction, Ticket};
use muster_workflow::report::Episode;

use crate::dice::Dice;
use crate::doctors::{self, Doctors};
use crate::ground::{self, End, Ground, Happening};
use crate::hands;
use crate::many::Many;
use crate::mix::{Fault, Mix, Truth};
use crate::outcome::Outcome;
use crate::plane::{Looked, Plane};
use crate::store::{Place, Store, Task};
use crate::weather::{self, Coming, Weather};

use judge::Judge;

/// Virtual time begins here.
const BEGIN: i64 = 1_800_000_000;
/// What is under way at the end is played on for so long; what nobody does anything about stays as it is.
const PLAYED_ON: Duration = Duration::from_secs(7 * 24 * 3600);
/// Where tickets go; nobody calls it.
const TICKETS: &str = "http://tickets.invalid/";

/// What is rehearsed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Machines of the fleet.
    pub machines: usize,
    /// Sites they stand in.
    pub sites: usize,
    /// Machines of one rack.
    pub rack: usize,
    /// Days that pass, with faults; what is under way then is played on.
    pub days: f64,
    /// The seed.
    pub seed: u64,
    /// What happens to machines.
    pub mix: Mix,
    /// How probable it is that a part of the control plane dies after an effect.
    pub crashes: f64,
    /// The policies; the built-in ones where there are none.
    pub policies: Vec<RepairPolicy>,
    /// What happens besides.
    pub disasters: Vec<Disaster>,
}

impl Options {
    /// A fleet with the built-in policies whose control plane does not die.
    pub fn new(machines: usize, sites: usize, days: f64, seed: u64, mix: Mix) -> Self {
        Self {
            machines,
            sites,
            rack: 40,
            days,
            seed,
            mix,
            crashes: 0.0,
            policies: Vec::new(),
            disasters: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The next faults are drawn.
    Weather,
    /// A fault begins.
    Fault(usize, usize),
    /// A doctor looks for a class of fault at a machine.
    Look(usize, usize),
    /// A part of the control plane, or who obeys it, looks.
    Task(Task),
    /// An order has taken its time.
    Done(String),
    /// A machine has booted.
    Booted(usize),
    /// A person arrives.
    Person(usize),
    /// Many machines are struck at once.
    Strike(usize),
    /// The global doctor judges what opened.
    Judge,
    /// A person looks at a problem of many.
    Looks(String),
}

/// One rehearsal.
struct Play<'a> {
    options: &'a Options,
    now: Timestamp,
    ends: Timestamp,
    queue: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    sequence: u64,
    /// When each task is looked at again.
    timers: BTreeMap<Task, Timestamp>,
    dice: Dice,
    weather: Weather<'a>,
    store: Store,
    plane: Plane,
    doctors: Doctors,
    ground: Vec<Ground>,
    happenings: Vec<Happening>,
    /// Opening and clearing of each fault that was noticed, as the doctors saw it.
    noticed: BTreeMap<usize, (Timestamp, Option<Timestamp>)>,
    with_person: BTreeMap<usize, bool>,
    episodes: Vec<Episode>,
    /// The kinds of fault: the rows of the mix, then one for each disaster.
    kinds: Vec<Fault>,
    /// The class of each kind.
    classes: Vec<&'a str>,
    many: Many,
    /// When the global doctor judges next.
    judged_at: Option<Timestamp>,
    /// The keys of the tickets that were written: whoever gets one twice knows it.
    tickets: BTreeSet<String>,
    judge: Judge,
}

/// Plays `options` to their end.
pub fn rehearse(options: &Options) -> Outcome {
    let mut play = Play::new(options);
    play.run();
    tell::outcome(play)
}

fn places(options: &Options) -> Vec<Place> {
    let each = options.machines.div_ceil(options.sites.max(1)).max(1);
    let place = |number: usize| {
        let site = number / each;
        Place {
            site: format!("s{site:02}"),
            rack: format!("s{site:02}-r{:03}", number / options.rack.max(1)),
        }
    };
    (0..options.machines).map(place).collect()
}

fn with_tickets(mut policy: RepairPolicy) -> RepairPolicy {
    policy.spec.ticket = Some(Ticket { webhook: TICKETS.to_owned(), ..Ticket::default() });
    policy
}

impl<'a> Play<'a> {
    fn new(options: &'a Options) -> Self {
        let now = Timestamp::from_second(BEGIN).expect("a date of this century");
        let policies = match options.policies.as_slice() {
            [] => muster_workflow::builtin::repairs::policies(),
            told => told.to_vec(),
        };
        let store = Store::new(places(options), policies.into_iter().map(with_tickets).collect(), now);
        let kinds = disaster::kinds(options);
        let mut play = Self {
            options,
            now,
            ends: now.checked_add(Duration::from_secs_f64(options.days * 86_400.0)).unwrap_or(Timestamp::MAX),
            queue: BinaryHeap::new(),
            sequence: 0,
            timers: BTreeMap::new(),
            dice: Dice::new(options.seed),
            weather: Weather::new(&options.mix, options.seed ^ 1, options.machines, options.rack, now),
            plane: Plane::new(options.seed ^ 2, options.crashes, &store),
            doctors: Doctors::default(),
            ground: vec![Ground::default(); options.machines],
            happenings: Vec::new(),
            noticed: BTreeMap::new(),
            with_person: BTreeMap::new(),
            episodes: Vec::new(),
            classes: kinds.iter().map(|(class, _)| *class).collect(),
            kinds: kinds.into_iter().map(|(_, fault)| fault).collect(),
            many: Many::new(options.seed ^ 3, options.crashes, &store),
            judged_at: None,
            store,
            tickets: BTreeSet::new(),
            judge: Judge::default(),
        };
        play.at(Duration::ZERO, Event::Weather);
        for (number, disaster) in options.disasters.iter().enumerate() {
            play.at(disaster.after, Event::Strike(number));
        }
        play
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        let at = self.now.checked_add(after).unwrap_or(Timestamp::MAX);
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    fn run(&mut self) {
        let last = self.ends.checked_add(PLAYED_ON).unwrap_or(Timestamp::MAX);
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            if last < at {
                return;
            }
            self.now = self.now.max(at);
            self.happen(event);
            self.settle();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Weather => self.draw(),
            Event::Fault(machine, kind) => self.breaks(machine, kind),
            Event::Look(machine, kind) => self.look(machine, kind),
            Event::Task(task) => {
                if self.timers.get(&task).is_some_and(|due| *due <= self.now) {
                    self.timers.remove(&task);
                    self.store.tasks.insert(task);
                }
            }
            Event::Done(order) => self.done(&order),
            Event::Booted(machine) => self.booted(machine),
            Event::Person(machine) => self.person(machine),
            Event::Strike(number) => self.strike(number),
            Event::Judge => self.judge_many(),
            Event::Looks(name) => self.looks(&name),
        }
    }

    /// Everybody who has to look does, in an order that chance decides.
    fn settle(&mut self) {
        while !self.store.tasks.is_empty() {
            let chosen = self.dice.below(self.store.tasks.len());
            let task = self.store.tasks.iter().nth(chosen).cloned().expect("it is one of them");
            self.store.tasks.remove(&task);
            let looked = match &task {
                Task::Start(machine) => self.plane.start(&mut self.store, *machine, self.now),
                Task::Run(name) => self.plane.carry_on(&mut self.store, name, self.now),
                Task::Ledger => self.plane.ledger(&mut self.store, self.now),
                Task::Obey(order) => self.obey(order),
            };
            for ticket in looked.tickets {
                if self.tickets.insert(ticket.key) {
                    self.call(&ticket.machine);
                }
            }
            if let Some(again) = looked.again {
                self.look_again(task, again.max(Duration::from_millis(100)));
            }
        }
        self.judge.look(&self.store, self.now);
        self.tell_many();
    }

    fn look_again(&mut self, task: Task, after: Duration) {
        let due = self.now.checked_add(after).unwrap_or(Timestamp::MAX);
        if self.timers.get(&task).is_none_or(|known| *known <= self.now || due < *known) {
            self.timers.insert(task.clone(), due);
            self.at(after, Event::Task(task));
        }
    }

    fn draw(&mut self) {
        let coming = self.weather.next();
        let Some(next) = coming.last().map(|last| last.at).filter(|at| *at < self.ends) else { return };
        for Coming { at, machine, kind } in coming {
            self.at(muster_base::clock::elapsed(self.now, at), Event::Fault(machine, kind));
        }
        self.at(muster_base::clock::elapsed(self.now, next), Event::Weather);
    }

    /// A machine that is broken or away already breaks no further: another one does.
    fn breaks(&mut self, wanted: usize, kind: usize) {
        let free = |number: usize| {
            let phase = self.store.machines[number].status.as_ref().map(|status| status.phase);
            self.ground[number].fault.is_none() && phase == Some(Phase::Healthy)
        };
        let count = self.options.machines;
        let Some(number) = (0..count).map(|step| (wanted + step) % count).find(|number| free(*number)) else {
            return;
        };
        let fades = weather::fades(&self.kinds[kind], &mut self.dice, self.now);
        self.begins(number, kind, fades);
    }

    fn begins(&mut self, number: usize, kind: usize, fades: Option<Timestamp>) {
        self.ground[number].fault = Some(self.happenings.len());
        self.happenings.push(Happening {
            machine: number,
            kind,
            began: self.now,
            fades,
            over: None,
            disruptive: 0,
            acts: Vec::new(),
        });
        let class = self.class(kind);
        let after = doctors::first_look(self.classes[class]) + self.later(kind);
        self.at(after, Event::Look(number, class));
    }

    /// Whether the fault of a machine is there now; one that has gone away by itself is over from then on.
    fn is_bad(&mut self, machine: usize, kind: usize) -> bool {
        let Some(index) = self.ground[machine].fault else { return false };
        if self.classes[self.happenings[index].kind] != self.classes[kind] {
            return false;
        }
        let happening = &mut self.happenings[index];
        if let Some(fades) = happening.fades.filter(|fades| *fades <= self.now)
            && happening.over.is_none()
        {
            happening.over = Some((fades, End::Faded));
        }
        happening.over.is_none()
    }

    /// The first row of the mix with the class of that row: a doctor tells classes apart, and nothing else.
    fn class(&self, kind: usize) -> usize {
        self.classes.iter().position(|class| *class == self.classes[kind]).unwrap_or(kind)
    }

    /// What the machine is in now that hides what a doctor would see.
    fn hidden_until(&self, machine: usize, class: &str) -> Option<Timestamp> {
        let ground = &self.ground[machine];
        let cut = ground.cut_until.filter(|until| self.now < *until);
        let boots = ground.boots_until.filter(|until| self.now < *until);
        // That nobody hears a machine is seen from outside.
        if ground::silences(class) { None } else { cut.max(boots) }
    }

    fn look(&mut self, machine: usize, kind: usize) {
        let class = self.classes[kind];
        if let Some(until) = self.hidden_until(machine, class) {
            let after = muster_base::clock::elapsed(self.now, until) + Duration::from_secs(1);
            return self.at(after, Event::Look(machine, kind));
        }
        let bad = self.is_bad(machine, kind);
        let boot_id = if ground::silences(class) { String::new() } else { self.ground[machine].boot_id() };
        let found = self.doctors.look(&mut self.store, (machine, class), bad, &boot_id, self.now);
        match found.turned {
            Some(State::Open) => self.opened(machine, class),
            Some(State::Clear) => self.cleared(machine, class),
            Some(State::Suspect | State::Unknown) | None => {}
        }
        if let Some(again) = found.again {
            self.at(again, Event::Look(machine, kind));
        } else if !bad {
            self.forget(machine, kind);
        }
    }

    fn forget(&mut self, machine: usize, kind: usize) {
        let of_class = |index: usize| self.classes[self.happenings[index].kind] == self.classes[kind];
        if self.ground[machine].fault.is_some_and(of_class) {
            self.ground[machine].fault = None;
        }
    }

    fn opened(&mut self, machine: usize, class: &str) {
        if let Some(index) = self.ground[machine].fault {
            self.noticed.entry(index).or_insert((self.now, None));
        }
        let name = doctors::name(&self.store, machine, class);
        let Some(problem) = self.store.problem(machine, &name) else { return };
        let status = problem.status.clone().unwrap_or_default();
        // A person who looks finds what is true.
        let is_false = |index: usize| self.kinds[self.happenings[index].kind].truth == Truth::FalseAlarm;
        let false_alarm = self.ground[machine].fault.is_some_and(is_false);
        self.episodes.push(Episode {
            problem: name,
            episode: EpisodeKey::of(problem),
            class: class.to_owned(),
            machine: self.store.machines[machine].name_any(),
            site: self.store.machines[machine].spec.site.clone(),
            model: self.store.inventories[machine].model.clone(),
            seen: status.first_seen.unwrap_or(self.now),
            opened: self.now,
            cleared: None,
            false_alarm,
        });
    }

    fn cleared(&mut self, machine: usize, class: &str) {
        if let Some(index) = self.ground[machine].fault
            && let Some(noticed) = self.noticed.get_mut(&index)
        {
            noticed.1 = Some(self.now);
        }
        let name = doctors::name(&self.store, machine, class);
        let now = self.now;
        if let Some(last) = self.episodes.iter_mut().rev().find(|episode| episode.problem == name) {
            last.cleared = Some(now);
        }
    }

    /// An order reaches who is to obey it, or is tried again.
    fn obey(&mut self, name: &str) -> Looked {
        let Some(order) = self.store.orders.get(name).cloned() else { return Looked::default() };
        if hands::phase(&order) != OrderPhase::Pending {
            return Looked::default();
        }
        let machine = self.store.number(&order.spec.machine);
        let expired = order.spec.expires_at.is_some_and(|at| at <= self.now);
        let (ground, now) = (&self.ground[machine], self.now);
        let deaf = ground.fault.is_some_and(|index| {
            let happening = &self.happenings[index];
            happening.over.is_none() && ground::deafens(self.classes[happening.kind])
        });
        let by_agent = order.spec.verb.executor() == Executor::Agent;
        if expired || ground.is_cut(now) || (by_agent && (deaf || ground.is_booting(now))) {
            let again = if expired { None } else { Some(hands::ASK_AGAIN) };
            return Looked { again, tickets: Vec::new() };
        }
        self.judge.obeys(&self.store, &order, now);
        let takes = hands::takes(order.spec.verb, &mut self.dice);
        self.store.put_order(hands::answered(&order, OrderPhase::Accepted, "begun", now));
        self.at(takes, Event::Done(name.to_owned()));
        Looked::default()
    }

    fn done(&mut self, name: &str) {
        let Some(order) = self.store.orders.get(name).cloned() else { return };
        let machine = self.store.number(&order.spec.machine);
        let index = self.ground[machine].fault;
        if let Some(index) = index {
            self.is_bad(machine, self.happenings[index].kind);
        }
        let ill = index.map(|index| &self.happenings[index]).filter(|happening| happening.over.is_none());
        let fails = order.spec.verb == Verb::CheckContainerStart
            && ill.is_some_and(|happening| ground::stops_containers(self.classes[happening.kind]));
        if let Some(action) = hands::act(order.spec.verb) {
            self.act(machine, action);
        }
        let phase = if fails { OrderPhase::Failed } else { OrderPhase::Done };
        let text = if fails { "no container starts" } else { "done" };
        self.store.put_order(hands::answered(&order, phase, text, self.now));
    }

    /// What an act does to a machine and to its fault.
    fn act(&mut self, machine: usize, action: RungAction) {
        if self.ground[machine].boots_by(action, &mut self.dice, self.now) {
            let until = self.ground[machine].boots_until.unwrap_or(self.now);
            self.at(muster_base::clock::elapsed(self.now, until), Event::Booted(machine));
        }
        self.judge.disruptive += u64::from(action.is_disruptive());
        // What its doctor sees no more may still be what it was meant for.
        let last = || self.happenings.iter().rposition(|happening| happening.machine == machine);
        let Some(index) = self.ground[machine].fault.or_else(last) else { return };
        let happening = &mut self.happenings[index];
        happening.acts.push(action);
        happening.disruptive += u32::from(action.is_disruptive());
        let chance = ground::chance(&self.kinds[happening.kind], action);
        if happening.over.is_none() && self.dice.happens(chance) {
            happening.over = Some((self.now, End::Cured(action)));
        }
    }

    fn booted(&mut self, machine: usize) {
        let boot_id = self.ground[machine].boot_id();
        self.store.inventories[machine].boot_id.clone_from(&boot_id);
        let mut written = (*self.store.machines[machine]).clone();
        written.status.get_or_insert_default().boot_id = boot_id;
        self.store.put_machine(machine, written);
        self.looks_anew(machine);
    }

    /// A doctor begins anew with its machine. What is held has stood for long and is looked at seldom until then.
    fn looks_anew(&mut self, machine: usize) {
        let Some(index) = self.ground[machine].fault else { return };
        let class = self.class(self.happenings[index].kind);
        let name = doctors::name(&self.store, machine, self.classes[class]);
        let status = self.store.problem(machine, &name).and_then(|problem| problem.status.as_ref());
        if status.is_some_and(|status| !status.parent.is_empty()) {
            self.at(doctors::first_look(self.classes[class]), Event::Look(machine, class));
        }
    }
}
