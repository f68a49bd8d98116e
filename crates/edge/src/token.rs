//! What a readiness event is about, in the 64 bits that epoll carries.

/// The owner of a watched file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A listening stream socket, by its index among the worker's acceptors.
    Accept(u32),
    /// A stream connection.
    Connection {
        /// Its slot.
        slot: u32,
        /// The slot's generation, below [`Token::GENERATION_MASK`].
        generation: u32,
    },
    /// A media socket, by its index in the worker.
    Media(u32),
    /// A signalling UDP socket, by its index in the worker.
    Udp(u32),
    /// Another thread has something for the worker.
    Wake,
}

impl Token {
    /// Generations have 24 bits.
    pub(crate) const GENERATION_MASK: u32 = 0x00ff_ffff;

    pub(crate) const fn encode(self) -> u64 {
        match self {
            Token::Wake => 0,
            Token::Udp(index) => 1 << KIND_SHIFT | index as u64,
            Token::Media(index) => 2 << KIND_SHIFT | index as u64,
            Token::Accept(index) => 3 << KIND_SHIFT | index as u64,
            Token::Connection { slot, generation } => {
                let generation = (generation & Token::GENERATION_MASK) as u64;
                4 << KIND_SHIFT | generation << 32 | slot as u64
            }
        }
    }

    pub(crate) const fn decode(bits: u64) -> Option<Token> {
        let low = bits as u32;
        match bits >> KIND_SHIFT {
            0 => Some(Token::Wake),
            1 => Some(Token::Udp(low)),
            2 => Some(Token::Media(low)),
            3 => Some(Token::Accept(low)),
            4 => {
                let generation = (bits >> 32) as u32 & Token::GENERATION_MASK;
                Some(Token::Connection {
                    slot: low,
                    generation,
                })
            }
            _ => None,
        }
    }
}

const KIND_SHIFT: u32 = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_comes_back() {
        let connection = Token::Connection {
            slot: u32::MAX,
            generation: Token::GENERATION_MASK,
        };
        for token in [
            Token::Wake,
            Token::Udp(1),
            Token::Media(u32::MAX),
            Token::Accept(0),
            connection,
        ] {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::decode(u64::MAX), None);
    }
}
