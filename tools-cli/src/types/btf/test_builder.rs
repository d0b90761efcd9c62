//! Makes BTF for the tests.

use super::Btf;

/// Makes BTF.
#[derive(Clone, Default)]
pub(super) struct Builder {
    pub(super) types: Vec<u8>,
    strings: Vec<u8>,
    pub(super) layout: Vec<u8>,
    first_string: u32,
    count: u32,
    first_id: u32,
}

pub(super) const INT: u32 = 1;
pub(super) const PTR: u32 = 2;
pub(super) const ARRAY: u32 = 3;
pub(super) const STRUCT: u32 = 4;
pub(super) const UNION: u32 = 5;
pub(super) const ENUM: u32 = 6;
pub(super) const FWD: u32 = 7;
pub(super) const TYPEDEF: u32 = 8;
pub(super) const VOLATILE: u32 = 9;
pub(super) const CONST: u32 = 10;
pub(super) const RESTRICT: u32 = 11;
pub(super) const FUNC: u32 = 12;
pub(super) const FUNC_PROTO: u32 = 13;
pub(super) const VAR: u32 = 14;
pub(super) const DATASEC: u32 = 15;
pub(super) const FLOAT: u32 = 16;
pub(super) const DECL_TAG: u32 = 17;
pub(super) const TYPE_TAG: u32 = 18;
pub(super) const ENUM64: u32 = 19;
/// Set in the kind for `kind_flag`.
pub(super) const FLAG: u32 = 0x80;

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            strings: vec![0],
            first_id: 1,
            ..Self::default()
        }
    }

    /// To be continued from `self`.
    pub(super) fn split(&self) -> Self {
        Self {
            first_string: self.first_string + u32::try_from(self.strings.len()).expect("small"),
            first_id: self.first_id + self.count,
            ..Self::default()
        }
    }

    pub(super) fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.first_string + u32::try_from(self.strings.len()).expect("small");
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    /// Adds a type; gives its number.
    pub(super) fn add(
        &mut self,
        kind: u32,
        name: &str,
        size_or_type: u32,
        count: u32,
        rest: &[u32],
    ) -> u32 {
        let name = self.name(name);
        for word in [name, (kind << 24) | count, size_or_type]
            .iter()
            .chain(rest)
        {
            self.types.extend(word.to_ne_bytes());
        }
        self.count += 1;
        self.first_id + self.count - 1
    }

    pub(super) fn int(&mut self, name: &str, bytes: u32, encoding: u32) -> u32 {
        self.add(INT, name, bytes, 0, &[(encoding << 24) | (8 * bytes)])
    }

    /// A structure or union of members with names, types and offsets in bits.
    pub(super) fn composite(
        &mut self,
        kind: u32,
        name: &str,
        bytes: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let rest: Vec<u32> = members
            .iter()
            .flat_map(|&(name, of, offset)| [self.name(name), of, offset])
            .collect();
        let count = u32::try_from(members.len()).expect("small");
        self.add(kind, name, bytes, count, &rest)
    }

    pub(super) fn function(&mut self, name: &str, returns: u32, parameters: &[(&str, u32)]) -> u32 {
        let rest: Vec<u32> = parameters
            .iter()
            .flat_map(|&(name, of)| [self.name(name), of])
            .collect();
        let count = u32::try_from(parameters.len()).expect("small");
        let proto = self.add(FUNC_PROTO, "", returns, count, &rest);
        self.add(FUNC, name, proto, 1, &[])
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len(), self.strings.len());
        let header_bytes = if self.layout.is_empty() { 24 } else { 32 };
        let mut words = vec![header_bytes, 0, types, types, strings];
        if !self.layout.is_empty() {
            words.extend([types + strings, self.layout.len()]);
        }
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        if cfg!(target_endian = "big") {
            bytes[..2].reverse();
        }
        for word in words {
            bytes.extend(u32::try_from(word).expect("small").to_ne_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes.extend(&self.layout);
        bytes
    }

    pub(super) fn btf(&self) -> Btf {
        Btf::from_bytes("test", self.bytes(), None).expect("valid")
    }
}
