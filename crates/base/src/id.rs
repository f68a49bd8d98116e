//! Newtypes for ids.

/// Defines a `Copy` newtype over an unsigned integer: an id that cannot be mistaken for another.
///
/// ```
/// ringfence_base::define_id! {
///     /// A trunk's index in the plan.
///     pub struct TrunkId(u16);
/// }
/// assert_eq!(TrunkId::new(3).index(), 3);
/// ```
#[macro_export]
macro_rules! define_id {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($inner:ty);) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name($inner);

        impl $name {
            /// Wraps a raw number.
            $vis const fn new(raw: $inner) -> Self {
                Self(raw)
            }

            /// The raw number.
            $vis const fn raw(self) -> $inner {
                self.0
            }

            /// The raw number as an index into a table.
            $vis const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}
