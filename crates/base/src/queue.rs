//! A queue with a bound.

use std::collections::VecDeque;

/// A first-in first-out queue that refuses what does not fit and counts the refusals.
#[derive(Debug)]
pub struct BoundedQueue<T> {
    items: VecDeque<T>,
    capacity: usize,
    refused: u64,
}

impl<T> BoundedQueue<T> {
    /// An empty queue for at most `capacity` items.
    pub const fn new(capacity: usize) -> BoundedQueue<T> {
        BoundedQueue {
            items: VecDeque::new(),
            capacity,
            refused: 0,
        }
    }

    /// Appends `item`, or gives it back (and counts) when the queue is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() >= self.capacity {
            self.refused += 1;
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many items were refused since the start.
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_gives_the_item_back_and_counts() {
        let mut queue = BoundedQueue::new(1);
        assert_eq!(queue.push('a'), Ok(()));
        assert_eq!(queue.push('b'), Err('b'));
        assert_eq!(
            (queue.refused(), queue.pop(), queue.pop()),
            (1, Some('a'), None)
        );
    }
}
