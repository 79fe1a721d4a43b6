/** A TCP proxy on the way to a server, that cuts connections or lets them fall silent. */

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** One connection through the proxy. */
export interface ProxiedConnection {
  /** Ends it with a reset, like a router that was restarted. */
  cut(): void;
  /** Keeps it open and passes nothing on any more, in either direction: a half-open connection. */
  silence(): void;
}

export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #open = new Set<Connection>();
  /** How many connections were made through it. */
  accepted = 0;
  /** Refuses new connections. */
  isDown = false;

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#server = createServer((client) => {
      this.accepted += 1;
      if (this.isDown) {
        client.resetAndDestroy();
        return;
      }
      const connection = new Connection(client, connect(target));
      this.#open.add(connection);
      client.on('close', () => this.#open.delete(connection));
    });
  }

  static async to(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  /** `HOST:PORT`. */
  get endpoint(): string {
    const address: AddressInfo | string | null = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    return `127.0.0.1:${address.port}`;
  }

  /** The oldest first. */
  get connections(): readonly ProxiedConnection[] {
    return [...this.#open];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#open) connection.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

class Connection implements ProxiedConnection {
  readonly #client: Socket;
  readonly #server: Socket;

  constructor(client: Socket, server: Socket) {
    this.#client = client;
    this.#server = server;
    client.pipe(server).pipe(client);
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on('error', end).on('close', end);
  }

  cut(): void {
    this.#client.resetAndDestroy();
  }

  silence(): void {
    this.#client.unpipe().resume();
    this.#server.unpipe().resume();
  }
}
