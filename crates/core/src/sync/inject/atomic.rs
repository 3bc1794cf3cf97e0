//! std's atomics, with a point before each operation.

use std::sync::atomic as std_atomic;

pub use std_atomic::Ordering;

use super::point;

/// The operations with one argument besides the ordering.
macro_rules! with_value {
    ($($name:ident)*) => {$(
        /// As std's, after a point.
        #[track_caller]
        pub fn $name(&self, value: Value, order: Ordering) -> Value {
            point();
            self.0.$name(value, order)
        }
    )*};
}

/// The operations that change the value if it is the one that was expected.
macro_rules! exchange {
    ($($name:ident)*) => {$(
        /// As std's, after a point.
        ///
        /// # Errors
        /// As std's.
        #[track_caller]
        pub fn $name(
            &self,
            current: Value,
            new: Value,
            success: Ordering,
            failure: Ordering,
        ) -> Result<Value, Value> {
            point();
            self.0.$name(current, new, success, failure)
        }
    )*};
}

macro_rules! atomic {
    ($atomic:ident, $value:ty, $($operation:ident)*) => {
        const _: () = {
            type Value = $value;

            impl $atomic {
                /// As std's.
                #[must_use]
                pub const fn new(value: Value) -> Self {
                    Self(std_atomic::$atomic::new(value))
                }

                /// As std's.
                pub fn get_mut(&mut self) -> &mut Value {
                    self.0.get_mut()
                }

                /// As std's.
                #[must_use]
                pub const fn into_inner(self) -> Value {
                    self.0.into_inner()
                }

                /// As std's, after a point.
                #[track_caller]
                pub fn load(&self, order: Ordering) -> Value {
                    point();
                    self.0.load(order)
                }

                /// As std's, after a point.
                #[track_caller]
                pub fn store(&self, value: Value, order: Ordering) {
                    point();
                    self.0.store(value, order);
                }

                exchange! { compare_exchange compare_exchange_weak }

                /// As std's, with a point before each of its operations.
                ///
                /// # Errors
                /// As std's.
                #[track_caller]
                pub fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    mut change: impl FnMut(Value) -> Option<Value>,
                ) -> Result<Value, Value> {
                    let mut now = self.load(fetch);
                    while let Some(next) = change(now) {
                        match self.compare_exchange_weak(now, next, set, fetch) {
                            Ok(before) => return Ok(before),
                            Err(changed) => now = changed,
                        }
                    }
                    Err(now)
                }

                with_value! { swap $($operation)* }
            }

            impl From<Value> for $atomic {
                fn from(value: Value) -> Self {
                    Self::new(value)
                }
            }
        };

        /// As std's, with a point before each operation.
        #[derive(Debug, Default)]
        pub struct $atomic(std_atomic::$atomic);
    };
}

macro_rules! integers {
    ($($atomic:ident $value:ty,)*) => {$(
        atomic! {
            $atomic, $value,
            fetch_add fetch_sub fetch_and fetch_nand fetch_or fetch_xor fetch_max fetch_min
        }
    )*};
}

atomic! { AtomicBool, bool, fetch_and fetch_nand fetch_or fetch_xor }

integers! {
    AtomicI8 i8,
    AtomicI16 i16,
    AtomicI32 i32,
    AtomicI64 i64,
    AtomicIsize isize,
    AtomicU8 u8,
    AtomicU16 u16,
    AtomicU32 u32,
    AtomicU64 u64,
    AtomicUsize usize,
}
