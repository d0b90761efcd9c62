//! Real programs of this machine: the C library, a program in Go, a PostgreSQL server under load, a Java virtual
//! machine.

mod at_the_terminal;
mod completion;
mod go;
mod java;
mod libc;
mod live;
mod postgres;
mod progress;
mod recipes;
mod terminal;
