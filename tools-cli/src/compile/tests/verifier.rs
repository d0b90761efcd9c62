//! The verifier of the running kernel takes what is compiled. Needs root; `cargo xtask test` runs
//! these here and in its machines.

use std::{fs, os::fd::AsRawFd as _};

use aya_obj::{
    btf::{Btf, BtfKind},
    generated::{bpf_insn, bpf_map_type},
};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use super::{
    Compiled, Context, compile_at, random, shape,
    world::{Ids, World, function, tracepoint, unknown_function, usdt},
};
use crate::{
    compile::{CompiledFn, OperandPlace, Site, Space},
    kernel::{
        bpf::{self, MapSpec, ProgramKind, TypedFunction},
        limits,
    },
};

fn instruction(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> bpf_insn {
    bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(dst, src),
        off,
        imm,
    }
}

/// A program that calls the function with the context and, twice, a map's value of `bytes` bytes.
fn load(function: &CompiledFn, bytes: u32, kind: ProgramKind) -> Result<(), String> {
    limits::raise().map_err(|error| error.to_string())?;
    let map = bpf::create_map(&MapSpec {
        name: "values",
        kind: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
        key_bytes: 4,
        value_bytes: bytes,
        entries: 1,
        flags: 0,
    })
    .map_err(|error| error.to_string())?;
    let mut program = Vec::new();
    for register in [2, 3] {
        program.push(instruction(0x18, register, 2, 0, map.as_raw_fd()));
        program.push(instruction(0, 0, 0, 0, 0));
    }
    // The function is behind this program.
    program.push(instruction(0x85, 0, 1, 0, 2));
    program.push(instruction(0xb7, 0, 0, 0, 0));
    program.push(instruction(0x95, 0, 0, 0, 0));
    program.extend(&function.instructions);
    bpf::load_program("compiled", kind, &program)
        .map(drop)
        .map_err(|error| format!("{error}\n{}", error.log))
}

fn load_all(compiled: &Compiled, kind: ProgramKind) -> Result<(), String> {
    let saved = compiled.entry.as_ref().map_or(8, |entry| entry.bytes);
    let bytes = compiled.layout.bytes.max(saved);
    load(&compiled.values, bytes, kind)?;
    if let Some(predicate) = &compiled.predicate {
        load(predicate, bytes, kind)?;
    }
    if let Some(entry) = &compiled.entry {
        load(&entry.function, bytes, kind)?;
    }
    Ok(())
}

#[track_caller]
fn takes(text: &str, site: &Site, world: &World) {
    let (context, kind) = match site {
        Site::Tracepoint(_) => (Context::Record, ProgramKind::Tracepoint),
        Site::Function(_) | Site::Usdt(_) => (Context::PtRegs, ProgramKind::Kprobe),
    };
    let compiled = compile_at(text, site, world, context).unwrap_or_else(|error| panic!("{error}"));
    if let Err(error) = load_all(&compiled, kind) {
        panic!("{text}\n{}\n{error}", compiled.values.listing(text));
    }
}

fn kernel_function(ids: &Ids) -> Site {
    Site::Function(function(
        &[
            ("t", ids.thing_pointer),
            ("n", ids.int(4, true)),
            ("count", ids.int(8, false)),
        ],
        ids.int(4, true),
    ))
}

#[test]
#[ignore = "needs root"]
fn expressions_of_every_kind_load() {
    let (world, ids) = World::kernel();
    let site = kernel_function(&ids);
    for expression in shape::TABLE {
        let text = format!("f ({expression}) \"%d %x\", {expression}, {expression}");
        takes(&text, &site, &world);
    }
    takes("f \"%s %s %s\", t->text, t->in.name, $comm", &site, &world);
    let many = format!("f \"{}\"{}", "%s".repeat(64), ", t->next->text".repeat(64));
    takes(&many, &site, &world);
    let sum: Vec<String> = (0..30)
        .map(|number| format!("(t->i == {number}) * {}", 1_u64 << number))
        .collect();
    let sum = sum.join(" + ");
    takes(&format!("f ({sum} > 3) \"%d\", {sum}"), &site, &world);
}

#[test]
#[ignore = "needs root"]
fn sites_of_every_kind_load() {
    let (world, ids) = World::kernel();
    takes("f", &kernel_function(&ids), &world);
    for is_syscall in [false, true] {
        let site = tracepoint(&ids, is_syscall);
        takes("t:a:b", &site, &world);
        takes(
            "t:a:b (args->odd == 1 && STRCMP(\"x\", args->comm)) \"%s %d %d\", args->name, \
             args->numbers[args->nr], args->list[2]",
            &site,
            &world,
        );
    }
    let memory = OperandPlace::Memory {
        base: 32,
        index: Some(96),
        scale: 4,
        displacement: -8,
    };
    let site = usdt(&[
        (4, true, OperandPlace::Register(112)),
        (1, false, OperandPlace::Register(81)),
        (8, false, memory),
        (8, true, OperandPlace::Constant(-1)),
    ]);
    takes("u:x:y (arg2 == 3) \"%d %s\", arg1, arg3", &site, &world);
    takes("u:x:y", &site, &world);
    let site = unknown_function(Space::User, true);
    takes(
        "r:c:f ($latency > 5) \"%d %d %s\", retval, $entry(arg1), $entry(arg2)",
        &site,
        &world,
    );
}

/// A kernel that is built to let none of its own functions be probed refuses fentry too.
fn lets_functions_be_probed() -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").expect("/proc is there");
    let mut names = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    names.any(|name| name == "register_kprobe")
}

#[test]
#[ignore = "needs root; held against what the kernel has of fentry"]
fn arguments_of_trampolines_load() {
    let (world, ids) = World::kernel();
    let btf = Btf::from_sys_fs().expect("the kernel has types");
    let id = btf
        .id_by_type_name_kind("vfs_read", BtfKind::Func)
        .expect("the kernel has it");
    let typed = TypedFunction {
        id,
        module_types: None,
    };
    // As `vfs_read` is declared, but for what its pointers point to.
    let mut read = function(
        &[
            ("t", ids.thing_pointer),
            ("text", ids.char_pointer),
            ("count", ids.int(8, false)),
            ("next", ids.thing_pointer),
        ],
        ids.int(8, true),
    );
    let rest = "(t > next && (u64)t % 3 == count || t->next->i * 3 > t - next + arg1) \
               \"%d %s %p %p %d\", t->i, text, t, next, (u64)next * count";
    let entry = format!("f {rest}");
    let site = Site::Function(read.clone());
    let compiled = compile_at(&entry, &site, &world, Context::Trampoline);
    let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
    let loaded = load_all(&compiled, ProgramKind::Fentry(typed));
    if !lets_functions_be_probed() {
        let refused = loaded.expect_err("it refuses them all");
        assert!(refused.contains("Operation not permitted"), "{refused}");
        return;
    }
    loaded.unwrap_or_else(|error| panic!("{error}"));
    for expression in shape::TABLE.iter().filter(|text| {
        !text
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == "n")
    }) {
        let text = format!("f ({expression}) \"%d\", {expression}");
        let compiled = compile_at(&text, &site, &world, Context::Trampoline);
        let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
        load_all(&compiled, ProgramKind::Fentry(typed))
            .unwrap_or_else(|error| panic!("{text}\n{error}"));
    }
    read.at_return = true;
    let text = "r::f (retval < 0 || $latency > 5) \"%d %d\", retval, $entry(t->i)";
    let compiled = compile_at(text, &Site::Function(read), &world, Context::Trampoline);
    let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
    load_all(&compiled, ProgramKind::Fexit(typed)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
#[ignore = "needs root"]
fn random_expressions_load() {
    let (world, ids) = World::kernel();
    let mut runner = TestRunner::deterministic();
    let strategy = (random::expressions(), random::events());
    for _ in 0..1000 {
        let (expr, event) = strategy.new_tree(&mut runner).expect("a tree").current();
        let site = random::site(&ids, &event);
        let written = expr.write(0);
        let text = format!("f ({written}) \"%lld\", {written}");
        match compile_at(&text, &site, &world, Context::PtRegs) {
            Ok(compiled) => load_all(&compiled, ProgramKind::Kprobe)
                .unwrap_or_else(|error| panic!("{text}\n{error}")),
            Err(error) => assert!(error.starts_with("division by zero"), "{error}"),
        }
    }
}
