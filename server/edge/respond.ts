import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/**
 * Sends a stream with back-pressure. When it throws, the connection is cut: a part never passes for the whole. When the client leaves, the
 * stream is told to stop.
 */
export async function sendStream(response: ServerResponse, body: AsyncIterable<Uint8Array>): Promise<void> {
  let left = false;
  response.once('close', () => {
    left = true;
  });
  try {
    for await (const chunk of body) {
      if (left) return;
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end();
  } catch {
    response.destroy();
  }
}
