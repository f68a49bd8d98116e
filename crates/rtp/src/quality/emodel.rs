//! The E-model, ITU-T G.107 (06/2015), reduced to what a relay knows: codec, delay and loss. Everything
//! else has the Recommendation's default, which leaves R = 93.2 without impairment.
//!
//! All codecs are rated on the narrowband scale, so that the scores of two legs compare; a wideband codec
//! cannot score above G.711 on it. Echo is not rated (Idte and Idle are zero): the relay does not hear it.

use std::time::Duration;

/// R with every parameter at its default, G.107 §7.7 (06/2015).
const UNIMPAIRED: f32 = 93.2;

/// A codec as the E-model knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// PCM, 64 kbit/s, in packets of 10 or 20 ms with loss concealment (G.711 Appendix I).
    G711,
    /// Wideband, 64 kbit/s.
    G722,
    /// 6.3 kbit/s.
    G7231,
    /// 8 kbit/s; Annex A and B as well.
    G729,
    /// GSM enhanced full rate; AMR at 12.2 kbit/s is the same.
    GsmEfr,
    /// Any rate.
    Opus,
    /// One that is not in the table: rated as G.729.
    #[default]
    Other,
}

impl Codec {
    /// The codec by its encoding name in SDP, in any case.
    pub fn from_encoding_name(name: &[u8]) -> Codec {
        const NAMES: [(&[u8], Codec); 9] = [
            (b"PCMA", Codec::G711),
            (b"PCMU", Codec::G711),
            (b"G722", Codec::G722),
            (b"G723", Codec::G7231),
            (b"G729", Codec::G729),
            (b"GSM-EFR", Codec::GsmEfr),
            (b"AMR", Codec::GsmEfr),
            (b"L16", Codec::G711),
            (b"opus", Codec::Opus),
        ];
        let found = NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(Codec::Other, |(_, codec)| *codec)
    }

    /// Ie, the equipment impairment factor, and Bpl, the robustness against packet loss.
    const fn impairment(self) -> (f32, f32) {
        match self {
            // G.113 (11/2007) Appendix I, tables I.1 and I.4.
            Codec::G711 => (0.0, 25.1),
            Codec::G7231 => (15.0, 16.1),
            Codec::G729 | Codec::Other => (11.0, 19.0),
            Codec::GsmEfr => (5.0, 10.0),
            // The ITU gives no narrowband values. Ours: as clear as G.711, and as robust, since
            // common decoders of both conceal losses.
            Codec::G722 | Codec::Opus => (0.0, 25.1),
        }
    }

    /// Delay of encoder and decoder: a frame and the look-ahead, G.114 Annex A.
    pub const fn delay(self) -> Duration {
        match self {
            Codec::G711 => Duration::from_micros(125),
            Codec::G722 => Duration::from_micros(1_500),
            Codec::G7231 => Duration::from_micros(37_500),
            Codec::G729 | Codec::Other => Duration::from_millis(15),
            Codec::GsmEfr => Duration::from_millis(20),
            Codec::Opus => Duration::from_micros(26_500),
        }
    }
}

/// The mean opinion score (MOS-CQE), 1.0..=4.5, for a mouth-to-ear delay and a share of lost packets.
pub fn mos(codec: Codec, delay: Duration, loss: f32) -> f32 {
    // G.107 Annex B, with its bounds.
    let r = rating(codec, delay, loss).clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

/// The transmission rating factor R: R0 - Is - Id - Ie,eff with advantage factor 0, G.107 §7.1. Losses
/// are taken as random (BurstR = 1).
pub fn rating(codec: Codec, delay: Duration, loss: f32) -> f32 {
    let (ie, bpl) = codec.impairment();
    let loss_percent = loss.clamp(0.0, 1.0) * 100.0;
    let ie_eff = ie + (95.0 - ie) * loss_percent / (loss_percent + bpl);
    UNIMPAIRED - delay_impairment(delay) - ie_eff
}

/// Idd: what pure delay spoils of a conversation, G.107 §7.4 with the default sensitivity (sT = 1, mT = 100).
fn delay_impairment(delay: Duration) -> f32 {
    let ms = delay.as_secs_f32() * 1_000.0;
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0)
        + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(codec: Codec, delay_ms: u64, loss: f32, expected: f32) {
        let actual = mos(codec, Duration::from_millis(delay_ms), loss);
        assert!(
            (actual - expected).abs() < 0.02,
            "{actual} is not {expected}"
        );
    }

    #[test]
    fn the_best_narrowband_score_is_4_41_g107() {
        check(Codec::G711, 0, 0.0, 4.41);
        check(Codec::G711, 100, 0.0, 4.41);
    }

    #[test]
    fn loss_is_weighed_by_the_codecs_robustness_g113() {
        check(Codec::G729, 0, 0.0, 4.11);
        // 93.2 - 95 * 1 / 26.1
        check(Codec::G711, 0, 0.01, 4.33);
        check(Codec::G729, 0, 0.01, 3.95);
        check(
            Codec::G711,
            0,
            1.0,
            1.0 + 0.035 * 17.26 - 17.26 * 42.74 * 82.74 * 7e-6,
        );
    }

    #[test]
    fn long_delay_spoils_a_conversation_g107_7_4() {
        // Idd(200 ms) = 25 (2^(1/6) - 3 (1 + 3^-6)^(1/6) + 2) = 3.05.
        let r = rating(Codec::G711, Duration::from_millis(200), 0.0);
        assert!((r - (93.2 - 3.05)).abs() < 0.02, "{r}");
        let r = rating(Codec::G711, Duration::from_millis(400), 0.0);
        assert!((r - 69.0).abs() < 1.0, "{r}");
    }

    #[test]
    fn names_are_those_of_sdp() {
        assert_eq!(Codec::from_encoding_name(b"pcma"), Codec::G711);
        assert_eq!(Codec::from_encoding_name(b"OPUS"), Codec::Opus);
        assert_eq!(Codec::from_encoding_name(b"SILK"), Codec::Other);
    }
}
