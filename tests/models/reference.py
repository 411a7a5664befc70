"""LMMRec's loss in float64 NumPy, from the equations and a dense adjacency: sets and loops, no shared code."""

import jax
import numpy as np

from tests.models.world import NUM_USERS, dense_adjacency


def as_float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def layers_of(table, num_layers):
    """Eq. 4: x^(k) = A x^(k-1)."""
    adjacency, layers = dense_adjacency(), [table]
    for _ in range(num_layers):
        layers.append(adjacency @ layers[-1])
    return layers


def tower(params, text):
    """Eq. 3."""
    hidden = text @ params["hidden"]["kernel"] + params["hidden"]["bias"]
    hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


def motivation(vector, prototypes):
    """Eq. 5 and 6, for one vector."""
    weights = np.exp([vector @ prototype for prototype in prototypes])
    weights = weights / weights.sum()
    return sum(weight * prototype for weight, prototype in zip(weights, prototypes, strict=True))


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


class Views:
    """Graph view p and text view h of any node, under one set of parameters."""

    def __init__(self, params, ctx, num_layers, learned=False):
        self.params, self.learned = params, learned
        self.layers = layers_of(params["base"]["nodes"]["embedding"], num_layers)
        self.text = np.concatenate([ctx.user_text, ctx.item_text]).astype(np.float64)

    def graph_view(self, node):
        bank = self.params["user_prototypes" if node < NUM_USERS else "item_prototypes"]["prototypes"]
        motivations = [motivation(layer[node], bank) for layer in self.layers[:-1]]  # k = 0 .. K-1
        return sum(motivations) / len(motivations)

    def text_view(self, node):
        source = self.params["text"]["embedding"] if self.learned else self.text
        return tower(self.params["text_tower"], source[node])


def candidates_of(row, nodes, rows):
    """The row itself and the real rows of other nodes."""
    return [other for other in rows if other == row or nodes[other] != nodes[row]]


def coordination(graph, text, nodes, rows, temperature):
    """Eq. 7 over the real rows."""
    losses = []
    for row in rows:
        terms = {c: np.exp(cosine(graph[row], text[c]) / temperature) for c in candidates_of(row, nodes, rows)}
        losses.append(-np.log(terms[row] / sum(terms.values())))
    return np.mean(losses)


def correspondence(student, teacher, nodes, rows, student_temperature, teacher_temperature):
    """Eq. 9 over the real rows; student and teacher are (text views, graph views)."""
    total = 0.0
    for flip in (False, True):
        divergences = []
        for row in rows:
            candidates = candidates_of(row, nodes, rows)

            def distribution(views, temperature, row=row, candidates=candidates, flip=flip):
                one, other = views[::-1] if flip else views
                weights = np.exp([cosine(one[row], other[c]) / temperature for c in candidates])
                return weights / weights.sum()

            v, u = distribution(teacher, teacher_temperature), distribution(student, student_temperature)
            divergences.append((v * np.log(v / u)).sum())
        total += np.mean(divergences)
    return total


def loss_parts(params, teacher, batch, ctx, config):
    """Eq. 10 with the base loss, part by part. teacher: its parameters as they are when they teach."""
    learned = config.text_source == "learned"
    student_views = Views(params, ctx, config.base.num_layers, learned)
    teacher_views = Views(teacher, ctx, config.base.num_layers, learned)
    real = np.asarray(batch["mask"])
    has_text = np.concatenate([ctx.user_text_mask, ctx.item_text_mask]) | learned
    ids = [np.asarray(batch["user_ids"])]
    ids += [np.asarray(batch[key]) + NUM_USERS for key in ("item_ids", "negative_item_ids")]

    combined = sum(student_views.layers) / len(student_views.layers)
    users, positives, negatives = (combined[nodes[real]] for nodes in ids)
    ego = [student_views.layers[0][nodes[real]] for nodes in ids]
    parts = {
        "bpr": np.mean(np.log1p(np.exp((users * negatives).sum(1) - (users * positives).sum(1)))),
        "l2": config.base.regularization * 0.5 * sum((rows**2).sum() for rows in ego) / real.sum(),
        "norm": config.regularization * sum((leaf**2).sum() for leaf in jax.tree.leaves(params)),
    }
    mcs, icm = 0.0, 0.0
    for index, nodes in enumerate(ids):
        rows = [row for row in range(len(nodes)) if real[row] and has_text[nodes[row]]]
        student = [
            {row: view(nodes[row]) for row in rows} for view in (student_views.text_view, student_views.graph_view)
        ]
        mcs += coordination(student[1], student[0], nodes, rows, config.coordination.temperature)  # Eq. 8
        if index < 2:
            taught = [
                {row: view(nodes[row]) for row in rows} for view in (teacher_views.text_view, teacher_views.graph_view)
            ]
            temperatures = config.correspondence.student_temperature, config.correspondence.teacher_temperature
            icm += 0.5 * correspondence(student, taught, nodes, rows, *temperatures)
    return parts | {
        "coordination": config.coordination.weight * mcs,
        "correspondence": config.correspondence.weight * icm,
    }
