//! What the kernel lists in text: its functions, its modules, the records of its tracepoints.

use super::on_text;
use crate::{
    kernel::blacklist::Blacklist,
    resolve::{
        KernelAddr,
        kernel::{
            kallsyms::{self, Symbol},
            traceable::Traceable,
        },
    },
    symbolize::modules::Modules,
    types::{FieldKind, RecordTypes, TracepointFormat, TypeSource as _},
};

pub(super) fn kallsyms(bytes: &[u8]) {
    on_text(bytes, |text| {
        for symbol in kallsyms::parse(text) {
            let address = symbol.address.map_or(0, |address| address.0);
            let module = symbol.module.map(|module| format!("\t[{module}]"));
            let line = format!(
                "{address:x} t {}{}",
                symbol.name,
                module.unwrap_or_default()
            );
            assert!(kallsyms::parse(&line).eq([symbol]), "{line:?}");
        }
    });
}

pub(super) fn available_functions(bytes: &[u8]) {
    on_text(bytes, |text| {
        let (by_address, by_name) = (Traceable::from_addresses(text), Traceable::from_names(text));
        for line in text.lines() {
            let first = line.split(' ').next().unwrap_or_default();
            let symbol = |address| Symbol {
                name: first,
                address,
                module: None,
            };
            assert!(by_name.contains(&symbol(None)), "{first:?}");
            if let Ok(address) = u64::from_str_radix(first, 16) {
                let symbol = symbol(Some(KernelAddr(address)));
                assert!(by_address.contains(&symbol), "{first:?}");
            }
        }
    });
}

pub(super) fn blacklist(bytes: &[u8]) {
    on_text(bytes, |text| {
        let all = Blacklist::parse(text);
        for line in text.lines() {
            let (start, end) = line.trim_start().split_once('-').unwrap_or_default();
            let end = end.split_ascii_whitespace().next().unwrap_or_default();
            for number in [start, end] {
                let digits = number.trim_start_matches("0x");
                let address = u64::from_str_radix(digits, 16).unwrap_or_default();
                for address in [address, address.wrapping_sub(1)] {
                    // What forbids alone forbids among others.
                    let alone = Blacklist::parse(line).forbids("", Some(address));
                    assert!(all.forbids("", Some(address)) || !alone, "{line:?}");
                }
            }
        }
    });
}

pub(super) fn modules(bytes: &[u8]) {
    on_text(bytes, |text| {
        let modules = Modules::parse(text);
        for (range, name) in &modules.0 {
            assert!(range.start <= range.end && !name.is_empty(), "{range:?}");
            let is_found = modules.find(range.start).is_some();
            assert!(is_found || range.is_empty(), "{range:?}");
            assert_ne!(modules.find(range.end), Some(String::new()));
        }
    });
}

pub(super) fn tracepoint_format(bytes: &[u8]) {
    on_text(bytes, |text| {
        let Ok(format) = TracepointFormat::parse("made-up", text) else {
            return;
        };
        for field in &format.fields {
            assert!(!field.name.is_empty(), "{field:?}");
            assert!(format.field(&field.name).is_some(), "{field:?}");
            if let FieldKind::Array { element, count } = field.kind {
                let bytes = element.bytes.checked_mul(count).expect("it is small");
                assert!(bytes <= field.size_bytes.into(), "{field:?}");
            }
        }
        let types = RecordTypes::new(format, None);
        for index in 0..types.format().fields.len() {
            for id in [types.field_type(index), types.argument_type(index)] {
                super::binaries::follow(&types, vec![id]);
                types.get(id).expect("it has given it out");
            }
        }
    });
}
