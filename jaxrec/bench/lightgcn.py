"""What the LightGCN workloads share: our compiled steps, the plain jraph form, and the peer's data."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import optax

from jaxrec.bench.program import compile_timed
from jaxrec.bench.synthetic import LightGCNWorkload, first_embeddings, interaction_pairs, triple_batches
from jaxrec.nn.graph import Graph, build_graph, to_graphs_tuple
from jaxrec.nn.negative_sampling import sample_negatives
from jaxrec.nn.propagation import propagate_rows
from jaxrec.nn.propagation_backends import Halves, aggregation_network

TORCH_VARIANTS = {"torch sparse COO autograd": "coo", "torch CSR + symmetric Function": "csr_symmetric"}
GRAPH_NETWORK = "jraph.GraphNetwork autodiff"


class LightGCNCase:
    """One workload's data, and its variants as functions that run a number of steps."""

    def __init__(self, workload: LightGCNWorkload) -> None:
        self.workload = workload
        self.user_ids, self.item_ids = interaction_pairs(workload)
        self.batches = triple_batches(workload, self.user_ids, self.item_ids, 16)
        self.graph: Graph = jax.device_put(
            build_graph(self.user_ids, self.item_ids, workload.num_users, workload.num_items)
        )
        self.graphs_tuple: jraph.GraphsTuple = jax.jit(to_graphs_tuple)(self.graph)
        self.pairs = jax.device_put((self.user_ids, self.item_ids))
        self.optimizer = optax.adam(workload.learning_rate)
        self.program: dict[str, Any] = {}

    def save(self, path: pathlib.Path, **more: np.ndarray) -> None:
        """The workload as an .npz for a peer, and more arrays by name."""
        workload = self.workload
        np.savez(
            path,
            user_ids=self.user_ids,
            item_ids=self.item_ids,
            batches=self.batches,
            embeddings=first_embeddings(workload),
            num_users=workload.num_users,
            num_items=workload.num_items,
            num_layers=workload.num_layers,
            l2=workload.l2,
            learning_rate=workload.learning_rate,
            allow_pickle=False,
            **more,
        )

    def _rows(self, batch: jax.Array) -> jax.Array:
        return jnp.concatenate([batch[0], batch[1] + self.workload.num_users, batch[2] + self.workload.num_users])

    def _loss_of_rows(self, combined: jax.Array, ego: jax.Array) -> jax.Array:
        """BPR with L2 on the batch's ego embeddings: LightGCN, Eq. 15 over a batch."""
        user, positive, negative = jnp.split(combined, 3)
        margin = (user * negative).sum(1) - (user * positive).sum(1)
        return jax.nn.softplus(margin).mean() + self.workload.l2 * jnp.square(ego).sum() / 2 / user.shape[0]

    def loss(self, embeddings: Halves, batch: jax.Array, graph: Graph) -> jax.Array:
        """The library's form: users' and items' embeddings apart, as are the batch's rows."""
        rows = batch[0], batch[1:].reshape(-1)
        layers = propagate_rows(embeddings, graph, rows, num_layers=self.workload.num_layers)
        return self._loss_of_rows(layers.mean(0), layers[0])

    def plain_loss(self, embeddings: jax.Array, batch: jax.Array, graph: jraph.GraphsTuple) -> jax.Array:
        """The same loss as it is written with jraph alone."""
        network = aggregation_network()
        layers = [embeddings]
        for _ in range(self.workload.num_layers):
            layers.append(network(graph._replace(nodes=layers[-1])).nodes)
        rows = self._rows(batch)
        return self._loss_of_rows(jnp.stack(layers).mean(0)[rows], embeddings[rows])

    def gradient(self) -> tuple[float, np.ndarray]:
        """Loss and gradient at the first embeddings and the first batch, in the library's form."""
        embeddings = self._first_state()[0]
        value, gradient = jax.jit(jax.value_and_grad(self.loss))(embeddings, self.batches[0], self.graph)
        return float(value), np.concatenate(gradient)

    def plain_gradient(self) -> tuple[float, np.ndarray]:
        """The same in the plain jraph form."""
        embeddings = first_embeddings(self.workload)
        value, gradient = jax.jit(jax.value_and_grad(self.plain_loss))(embeddings, self.batches[0], self.graphs_tuple)
        return float(value), np.asarray(gradient)

    def _update(self, loss: Callable[..., jax.Array], carry: Any, batch: jax.Array, graph: Any) -> Any:
        embeddings, opt_state = carry
        value, gradient = jax.value_and_grad(loss)(embeddings, batch, graph)
        updates, opt_state = self.optimizer.update(gradient, opt_state)
        return (optax.apply_updates(embeddings, updates), opt_state), value

    def _first_state(self) -> Any:
        embeddings = jnp.asarray(first_embeddings(self.workload))
        halves = embeddings[: self.workload.num_users], embeddings[self.workload.num_users :]
        return halves, self.optimizer.init(halves)

    def scanned_steps(self, num_steps: int) -> Callable[[], None]:
        """Our steps, num_steps of them in one compiled call, sampled on the device; `program` then tells its cost."""

        def run(carry: Any, rng: jax.Array, graph: Graph, pairs: tuple[jax.Array, jax.Array]) -> Any:
            def body(carry: Any, rng: jax.Array) -> Any:
                of_pair, of_negative = jax.random.split(rng)
                chosen = jax.random.randint(of_pair, (self.workload.batch_size,), 0, self.workload.num_pairs)
                users, items = pairs[0][chosen], pairs[1][chosen]
                negatives = sample_negatives(
                    of_negative, users, graph.user_indptr, graph.user_items, self.workload.num_items
                )
                return self._update(self.loss, carry, jnp.stack([users, items, negatives]), graph)

            return jax.lax.scan(body, carry, jax.random.split(rng, num_steps))

        state = [self._first_state(), jax.random.key(0)]
        jitted = jax.jit(run, donate_argnums=0)
        compiled, self.program = compile_timed(jitted, state[0], state[1], self.graph, self.pairs)

        def call() -> None:
            state[1], rng = jax.random.split(state[1])
            state[0], losses = compiled(state[0], rng, self.graph, self.pairs)
            jax.block_until_ready((state[0], losses))

        return call

    def plain_steps(self) -> Callable[[np.ndarray], None]:
        """The plain jraph form, one compiled call a step, fed from the host; takes batches [n, 3, B]."""
        step = jax.jit(functools.partial(self._update, self.plain_loss), donate_argnums=0)
        embeddings = jnp.asarray(first_embeddings(self.workload))
        state = [(embeddings, self.optimizer.init(embeddings))]

        def call(batches: np.ndarray) -> None:
            for batch in batches:
                state[0], value = step(state[0], batch, self.graphs_tuple)
                jax.block_until_ready(value)
            jax.block_until_ready(state[0])

        return call
