/** Whose address the audit records: the peer's, or what a declared proxy says (security.md L-04, I-18b). */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv6 } from 'node:net';

const MAPPED = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;

const plainAddress = (address: string): string => address.replace(MAPPED, '');

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4');

/** Reads the network address of a request; `proxies` are addresses or CIDR networks. Throws a RangeError on anything else. */
export function createClientAddress(proxies: readonly string[]): (request: IncomingMessage) => string {
  const trusted = new BlockList();
  for (const proxy of proxies) {
    const [network = '', prefix, ...more] = proxy.split('/');
    const family = familyOf(network);
    const bits = prefix === undefined ? undefined : Number(prefix);
    if (isIP(network) === 0 || more.length > 0 || (bits !== undefined && !/^\d{1,3}$/.test(prefix ?? '')))
      throw new RangeError(`\`${proxy}\` is neither an address nor a network`);
    if (bits === undefined) trusted.addAddress(network, family);
    else trusted.addSubnet(network, bits, family);
  }
  const isTrusted = (address: string): boolean => isIP(address) !== 0 && trusted.check(address, familyOf(address));
  return (request) => {
    const peer = plainAddress(request.socket.remoteAddress ?? '');
    if (proxies.length === 0 || !isTrusted(peer)) return peer;
    // Each proxy appends whom it saw: the last entry that is not one of ours is the client, what stands before it is hearsay.
    let address = peer;
    for (const entry of String(request.headers['x-forwarded-for'] ?? '')
      .split(',')
      .reverse()) {
      const seen = plainAddress(entry.trim());
      if (isIP(seen) === 0) return address;
      address = seen;
      if (!isTrusted(seen)) return address;
    }
    return address;
  };
}
