//! Calls up and what they cost until now.

use std::time::Duration;

use ringfence_base::UnixTime;

use super::destinations::{Class, Country, Destination};
use super::money::Money;

/// Most calls of one tenant that are metered at once.
pub const RUNNING_MAX: usize = 16_384;

/// How long a call is expected to last when nobody knows.
const EXPECTED: Duration = Duration::from_secs(4 * 60);

/// Names a metered call until it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

/// Which budget a call draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pot {
    /// None: the number is known, or somebody vouched for it.
    Known,
    /// Ordinary numbers abroad.
    Ordinary,
    /// Dear numbers in places that are new.
    Dear,
    /// Dear numbers in a country that is known.
    DearKnown,
}

/// A metered call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) number: u64,
    pub(super) caller: u64,
    pub(super) destination: Destination,
    pub(super) pot: Pot,
    /// Whether it may teach what is normal.
    pub(super) teaches: bool,
    pub(super) answered: Option<UnixTime>,
    generation: u32,
}

impl Running {
    pub(super) fn cost(&self, now: UnixTime) -> Money {
        let time = self
            .answered
            .map_or(Duration::ZERO, |answered| since(now, answered));
        self.destination.per_minute.for_time(time)
    }

    /// What it has cost, or what it will by all likelihood, if that is more.
    fn exposure(&self, now: UnixTime) -> Money {
        self.cost(now).max(expected(&self.destination))
    }
}

/// What a call there is expected to cost.
pub(super) fn expected(destination: &Destination) -> Money {
    destination.per_minute.for_time(EXPECTED)
}

pub(super) fn since(now: UnixTime, then: UnixTime) -> Duration {
    let micros = now.as_micros().saturating_sub(then.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// The metered calls of one tenant.
#[derive(Debug, Default)]
pub(super) struct Calls {
    slots: Vec<Option<Running>>,
    free: Vec<u32>,
    generation: u32,
}

impl Calls {
    /// `None` when there are as many as may be.
    pub(super) fn open(&mut self, mut call: Running) -> Option<Ticket> {
        self.generation = self.generation.wrapping_add(1);
        call.generation = self.generation;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < RUNNING_MAX => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        *self.slots.get_mut(slot as usize)? = Some(call);
        Some(Ticket {
            slot,
            generation: call.generation,
        })
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Running> {
        let call = self.slots.get_mut(ticket.slot as usize)?.as_mut()?;
        (call.generation == ticket.generation).then_some(call)
    }

    pub(super) fn close(&mut self, ticket: Ticket) -> Option<Running> {
        let call = *self.get_mut(ticket)?;
        *self.slots.get_mut(ticket.slot as usize)? = None;
        self.free.push(ticket.slot);
        if self.free.len() == self.slots.len() {
            // Nothing is up: a burst must not keep its memory for ever.
            self.free = Vec::new();
            self.slots = Vec::new();
        }
        Some(call)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Running> {
        self.slots.iter().flatten()
    }

    /// What the calls of a pot may cost, those in progress.
    pub(super) fn exposure(&self, now: UnixTime, pot: Pot, country: Option<Country>) -> Money {
        self.iter()
            .filter(|call| call.pot == pot)
            .filter(|call| country.is_none_or(|country| call.destination.country == country))
            .fold(Money::ZERO, |sum, call| sum.plus(call.exposure(now)))
    }

    /// What the answered calls of a class, or of all, have cost until now.
    pub(super) fn cost(&self, now: UnixTime, class: Option<Class>) -> Money {
        self.iter()
            .filter(|call| class.is_none_or(|class| call.destination.class == class))
            .fold(Money::ZERO, |sum, call| sum.plus(call.cost(now)))
    }
}

/// Call with no generation yet, for [`Calls::open`].
pub(super) const fn running(
    number: u64,
    caller: u64,
    destination: Destination,
    pot: Pot,
    teaches: bool,
) -> Running {
    Running {
        number,
        caller,
        destination,
        pot,
        teaches,
        answered: None,
        generation: 0,
    }
}

/// Money that fades: after the half-life half of it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fading {
    amount: f64,
    at: UnixTime,
    half_life: Duration,
}

impl Fading {
    pub(super) const fn new(half_life: Duration) -> Fading {
        Fading {
            amount: 0.0,
            at: UnixTime::from_micros(0),
            half_life,
        }
    }

    pub(super) fn at(&self, now: UnixTime) -> Money {
        let half_lives = since(now, self.at).as_secs_f64() / self.half_life.as_secs_f64();
        Money::from_micros((self.amount * (-half_lives).exp2()) as u64)
    }

    pub(super) fn add(&mut self, now: UnixTime, money: Money) {
        self.amount = self.at(now).plus(money).as_micros() as f64;
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_micros(seconds * 1_000_000)
    }

    fn call() -> Running {
        let destination = Destination {
            class: Class::HighCost,
            country: Country::NONE,
            per_minute: Money::from_cents(60),
            prefix_digits: 1,
        };
        running(1, 1, destination, Pot::Dear, true)
    }

    #[test]
    fn a_call_costs_from_its_answer_on() {
        let mut calls = Calls::default();
        let ticket = calls.open(call()).unwrap();
        assert_eq!(calls.cost(at(100), None), Money::ZERO);
        assert_eq!(
            calls.exposure(at(100), Pot::Dear, None),
            Money::from_cents(240)
        );
        calls.get_mut(ticket).unwrap().answered = Some(at(100));
        assert_eq!(
            calls.cost(at(160), Some(Class::HighCost)),
            Money::from_cents(60)
        );
        assert_eq!(calls.cost(at(160), Some(Class::Premium)), Money::ZERO);
        assert_eq!(
            calls.exposure(at(700), Pot::Dear, None),
            Money::from_cents(600)
        );
    }

    #[test]
    fn a_ticket_of_a_call_that_is_over_names_nothing() {
        let mut calls = Calls::default();
        let old = calls.open(call()).unwrap();
        assert!(calls.close(old).is_some() && calls.close(old).is_none());
        let new = calls.open(call()).unwrap();
        assert_eq!(old.slot, new.slot);
        assert!(calls.get_mut(old).is_none() && calls.get_mut(new).is_some());
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = Calls::default();
        let tickets: Vec<_> = (0..RUNNING_MAX)
            .map(|_| calls.open(call()).unwrap())
            .collect();
        assert!(calls.open(call()).is_none());
        calls.close(tickets[5]);
        assert!(calls.open(call()).is_some());
    }

    #[test]
    fn half_of_it_is_left_after_the_half_life() {
        let mut fading = Fading::new(Duration::from_secs(3600));
        fading.add(at(1000), Money::from_units(8));
        assert_eq!(fading.at(at(1000)), Money::from_units(8));
        assert_eq!(fading.at(at(4600)), Money::from_units(4));
        fading.add(at(4600), Money::from_units(4));
        assert_eq!(fading.at(at(8200)), Money::from_units(4));
    }
}
