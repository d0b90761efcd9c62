//! Real programs of this machine: the C library, a PostgreSQL server under load, a Java virtual
//! machine.

mod java;
mod libc;
mod postgres;
