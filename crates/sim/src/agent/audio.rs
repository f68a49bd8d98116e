//! Audio whose content tells which call, direction and packet it is.

use ringfence_base::Entropy;
use ringfence_base::entropy::SeededEntropy;

/// How many packets each side of a call sends.
pub const PACKETS: u8 = 10;

/// Bytes of audio in a packet: 20 ms of G.711.
pub const PAYLOAD: usize = 160;

/// What names one direction of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Keys the audio of a world.
    pub key: u64,
    /// Index of the call.
    pub call: usize,
    /// Whether it is the caller who speaks.
    pub caller: bool,
}

impl Voice {
    /// The audio of packet `number`. Its first byte is the number.
    pub fn payload(self, number: u8) -> [u8; PAYLOAD] {
        let name = (self.call as u64) << 16 | u64::from(self.caller) << 8 | u64::from(number);
        let mut entropy = SeededEntropy::new(self.key ^ name.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let mut payload = [0; PAYLOAD];
        entropy.fill(&mut payload);
        payload[0] = number;
        payload
    }

    /// The number of the packet with this audio, if this voice spoke it.
    pub fn recognise(self, payload: &[u8]) -> Option<u8> {
        let number = *payload.first()?;
        (number < PACKETS && payload == self.payload(number)).then_some(number)
    }

    /// Packet `number` as RTP.
    pub fn packet(self, number: u8, payload_type: u8) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend_from_slice(&(1000 + u16::from(number)).to_be_bytes());
        packet.extend_from_slice(&(160 * u32::from(number)).to_be_bytes());
        packet.extend_from_slice(&self.ssrc().to_be_bytes());
        packet.extend_from_slice(&self.payload(number));
        packet
    }

    /// A sender report, a CNAME and an application packet that names `address`: what a careless
    /// relay would give away.
    pub fn report(self, cname: &str, address: [u8; 4]) -> Vec<u8> {
        let ssrc = self.ssrc().to_be_bytes();
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend_from_slice(&ssrc);
        packet.extend_from_slice(&[0; 20]);
        let mut chunk = [&ssrc[..], &[1, cname.len() as u8], cname.as_bytes()].concat();
        chunk.push(0);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        packet.extend_from_slice(&[0x81, 202, 0, (chunk.len() / 4) as u8]);
        packet.extend_from_slice(&chunk);
        packet.extend_from_slice(&[0x80, 204, 0, 3]);
        packet.extend_from_slice(&ssrc);
        packet.extend_from_slice(b"ADDR");
        packet.extend_from_slice(&address);
        packet
    }

    fn ssrc(self) -> u32 {
        SeededEntropy::new(self.key ^ (self.call as u64 * 2 + u64::from(self.caller))).next_u64()
            as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_knows_its_own_packets_only() {
        let voice = |call, caller| Voice {
            key: 7,
            call,
            caller,
        };
        let payload = voice(1, true).payload(3);
        assert_eq!(voice(1, true).recognise(&payload), Some(3));
        assert_eq!(voice(1, false).recognise(&payload), None);
        assert_eq!(voice(2, true).recognise(&payload), None);
    }
}
