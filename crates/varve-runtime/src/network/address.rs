//! Subnets and hardware addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Addresses that begin with the same bits, as `10.83.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    base: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The subnet of `prefix` bits that `address` lies in; `None` if there are not so many bits.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then(|| {
            let mask = mask(bits(address), prefix);
            Self { base: from_number(number(address) & mask, address.is_ipv4()), prefix }
        })
    }

    /// Its first address.
    pub fn base(self) -> IpAddr {
        self.base
    }

    /// How many bits are the same.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(self) -> bool {
        self.base.is_ipv4()
    }

    /// Whether the address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        Self::new(address, self.prefix)
            .is_some_and(|of| of.base == self.base && address.is_ipv4() == self.is_ipv4())
    }

    /// Whether one of the two lies in the other.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// The address at a distance from the first; `None` outside.
    pub fn nth(self, distance: u128) -> Option<IpAddr> {
        (distance < self.size()).then(|| from_number(number(self.base) + distance, self.is_ipv4()))
    }

    /// How far an address of it is from the first.
    pub fn distance(self, address: IpAddr) -> u128 {
        number(address).saturating_sub(number(self.base))
    }

    /// How many addresses it has; the largest number for all of IPv6.
    pub fn size(self) -> u128 {
        1_u128.checked_shl(u32::from(bits(self.base) - self.prefix)).unwrap_or(u128::MAX)
    }

    /// The address of all at once, where there is one.
    pub fn broadcast(self) -> Option<IpAddr> {
        (self.is_ipv4() && self.prefix < 31).then(|| self.nth(self.size() - 1)).flatten()
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(bits: u8, prefix: u8) -> u128 {
    let all = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    all & !(all.checked_shr(u32::from(prefix)).unwrap_or(0))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn from_number(number: u128, v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::from(number as u32).into() } else { Ipv6Addr::from(number).into() }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The text is no `ADDRESS/BITS`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct InvalidSubnet(pub String);

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            Self::new(address.parse().ok()?, prefix.parse().ok()?)
        };
        parse().ok_or_else(|| InvalidSubnet(text.to_owned()))
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Docker's: `02:42:` and the four bytes of the address, so that whoever has an address next
    /// has the same hardware address, and neighbours' tables stay right.
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&digits.join(":"))
    }
}

/// The text is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a valid mac address")]
pub struct InvalidMac(pub String);

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let parts: Vec<u8> = text
            .split([':', '-'])
            .map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None })
            .collect::<Option<_>>()
            .unwrap_or_default();
        let bytes = <[u8; 6]>::try_from(parts).map_err(|_| InvalidMac(text.to_owned()))?;
        // The lowest bit of the first byte is for groups.
        if bytes[0] & 1 == 1 { Err(InvalidMac(text.to_owned())) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_is_named_by_its_first_address() {
        assert_eq!(subnet("10.83.7.9/16").to_string(), "10.83.0.0/16");
        assert_eq!(subnet("fd00::9/64").to_string(), "fd00::/64");
        assert_eq!(subnet("0.0.0.0/0").size(), 1 << 32);
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "fd00::/129"] {
            assert_eq!(bad.parse::<Subnet>(), Err(InvalidSubnet(bad.to_owned())));
        }
    }

    #[test]
    fn subnets_overlap_when_one_holds_the_other() {
        assert!(subnet("10.83.0.0/16").overlaps(subnet("10.83.4.0/24")));
        assert!(subnet("10.83.4.0/24").overlaps(subnet("10.0.0.0/8")));
        assert!(!subnet("10.83.0.0/16").overlaps(subnet("10.84.0.0/16")));
        assert!(!subnet("0.0.0.0/0").overlaps(subnet("::/0")));
    }

    #[test]
    fn a_hardware_address_is_made_of_the_address() {
        assert_eq!(Mac::of(Ipv4Addr::new(10, 83, 0, 2)).to_string(), "02:42:0a:53:00:02");
        assert_eq!("02-42-0A-53-00-02".parse(), Ok(Mac([2, 0x42, 10, 83, 0, 2])));
        assert!("03:42:0a:53:00:02".parse::<Mac>().is_err());
        assert!("02:42:0a:53:00".parse::<Mac>().is_err());
    }
}
