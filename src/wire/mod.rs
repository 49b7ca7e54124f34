//! AMQP 0-9-1 on the wire: bytes in, bytes out, no state.
//!
//! - [`frame`]: finds frames and judges the protocol header.
//! - [`hot`]: publish, deliver, get-ok, return, ack, nack and reject, read and written in place.
//! - [`method`]: every other method, as `amq-protocol`'s types, behind a check of lengths and depth.
//! - [`properties`]: content headers and a view of the basic properties, whose bytes are kept as they came.
//! - [`output`]: content and heartbeats, cut into frames.

pub mod error;
pub mod frame;
pub mod hot;
pub mod method;
pub mod output;
pub mod properties;

pub use error::{MethodFault, Octets, WireError};
pub use frame::{Frame, FrameKind};

#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod hot_tests;
#[cfg(test)]
mod method_tests;
#[cfg(test)]
mod output_tests;
#[cfg(test)]
mod properties_tests;
