//! Messages of probes without a format.

use super::{
    Context, Machine, compile_at,
    world::{World, function, tracepoint, unknown_function, usdt},
};
use crate::compile::{OperandPlace, Site, Space};

const TEXT: u64 = 0xffff_8880_0000_3000;

#[test]
fn parameters_by_name() {
    let (world, ids) = World::kernel();
    let site = function(
        &[
            ("fd", ids.int(4, true)),
            ("t", ids.thing_pointer),
            ("name", ids.char_pointer),
            ("color", ids.color),
            ("real", ids.float),
            ("count", ids.int(8, false)),
        ],
        ids.int(4, true),
    );
    let mut machine =
        Machine::new(168)
            .kernel(TEXT, b"eth0\0")
            .args(&[0xffff_ffff, 0x1000, TEXT, 5, 4096]);
    let mut message = |text: &str, site: &Site| {
        let compiled = compile_at(text, site, &world, Context::PtRegs)
            .unwrap_or_else(|error| panic!("{error}"));
        machine.message(&compiled)
    };
    assert_eq!(
        message("f", &Site::Function(site.clone())),
        "fd=-1, t=0x1000, name=\"eth0\", color=GREEN, count=4096"
    );
    // As the user gives them.
    assert_eq!(
        message("f(long x, void *p)", &Site::Function(site)),
        "x=4294967295, p=0x1000"
    );
    assert_eq!(message("f", &unknown_function(Space::User, false)), "");
}

#[test]
fn structures_in_registers_by_member() {
    let (world, ids) = World::kernel();
    let site = Site::Function(function(
        &[("p", ids.pair), ("n", ids.int(4, true))],
        ids.void,
    ));
    let mut machine = Machine::new(168)
        .kernel(TEXT, b"eth0\0")
        .args(&[1, TEXT, 7]);
    let compiled = compile_at("f", &site, &world, Context::PtRegs).expect("it compiles");
    assert_eq!(
        machine.message(&compiled),
        "p.first=1, p.low=0, p.high=0, p.array=0, p.name=\"eth0\", n=7"
    );
}

#[test]
fn results() {
    let (world, ids) = World::kernel();
    let mut site = function(&[("fd", ids.int(4, true))], ids.int(4, true));
    site.at_return = true;
    let mut machine = Machine::new(168).context(80, &0xffff_fff0_u64.to_le_bytes());
    let mut message = |site: Site| {
        let compiled = compile_at("r::f", &site, &world, Context::PtRegs).expect("it compiles");
        machine.message(&compiled)
    };
    assert_eq!(message(Site::Function(site.clone())), "retval=-16");
    assert_eq!(
        message(unknown_function(Space::User, true)),
        "retval=4294967280"
    );
    let prototype = site.prototype.as_mut().expect("there is one");
    prototype.returns = ids.void;
    assert_eq!(message(Site::Function(site)), "");
}

#[test]
fn fields_and_operands() {
    let (world, ids) = World::kernel();
    let compiled = compile_at("t:a:b", &tracepoint(&ids, false), &world, Context::Record)
        .expect("it compiles");
    let mut machine = Machine::new(256)
        .kernel(TEXT, b"file\0")
        .context(8, &7_i32.to_le_bytes())
        .context(32, b"init\0")
        .context(64, &128_u32.to_le_bytes())
        .context(68, &72_u32.to_le_bytes())
        .context(72, &TEXT.to_le_bytes())
        .context(128, b"eth0\0")
        .context(144, b"behind\0");
    assert_eq!(
        machine.message(&compiled),
        "nr=7, size=0, odd=0, comm=\"init\", name=\"eth0\", behind=\"behind\", filename=\"file\", \
         color=RED"
    );
    let site = usdt(&[
        (4, true, OperandPlace::Constant(-1)),
        (8, true, OperandPlace::Unsupported("a float".to_owned())),
        (8, false, OperandPlace::Register(112)),
    ]);
    let mut machine = Machine::new(168).args(&[42]);
    for (text, expected) in [
        ("u:x:y", "arg1=-1, arg3=42"),
        ("u:x:y(u8 a, int b, int c)", "a=255, c=42"),
    ] {
        let compiled = compile_at(text, &site, &world, Context::PtRegs).expect("it compiles");
        assert_eq!(machine.message(&compiled), expected);
    }
}
