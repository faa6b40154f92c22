"""Face users, their embeddings, and the counters of models and embeddings."""

import struct

from .domain import Changed, Effect, Refused


def single(value):
    """As a number of single precision is read back."""
    return struct.unpack("f", struct.pack("f", float(value)))[0]


class RecordVerification(Effect):
    creates, audits = True, "COUNTER_UPDATE"

    def aggregate(self, data):
        return ("face-model", data["model_id"])

    def run(self, domain, data, command):
        model = domain.get("face_model", data["model_id"])
        if model is None:
            raise Refused("not_found")
        number = data.get("embedding_id")
        if number is not None:
            embedding = domain.get("face_embedding", number)
            if embedding is None:
                raise Refused("not_found")
            if (embedding["user_id"], embedding["model_id"]) != (data["user_id"], data["model_id"]):
                raise Refused("invalid_data", "/embedding_id")
        if domain.get("face_verification_log", data["verification_id"]) is not None:
            raise Refused("already_exists")
        domain.put("face_verification_log", data["verification_id"], {
            "id": data["verification_id"], "model_id": data["model_id"], "embedding_id": number,
            "user_id": data["user_id"], "verified_at": domain.now, "result": data["result"]})
        self.count(domain, model, data)
        if number is not None:
            counter = domain.get("face_embedding_counter", number) or domain.put("face_embedding_counter", number, {
                "id": number, "verification_count": 0, "successful_verifications": 0, "last_used": None})
            self.count(domain, counter, data)
        increments = {"verification_count": 1, "successful_verifications": int(data["result"] == "SUCCESS")}
        return Changed(metadata={"verification_id": data["verification_id"], "increments": increments})

    @staticmethod
    def count(domain, row, data):
        row["verification_count"] += 1
        row["successful_verifications"] += data["result"] == "SUCCESS"
        row["last_used"] = max(row["last_used"] or domain.now, domain.now)


class EmbeddingEffect(Effect):
    creates = True

    def aggregate(self, data):
        return ("face-user", data["user_id"])

    @staticmethod
    def touch_user(domain, number):
        domain.touch(domain.get("face_user", number) or domain.put("face_user", number, {"id": number, "version": 0}))

    @staticmethod
    def touch(domain, embedding):
        embedding["modified_at"], embedding["modified_by"] = domain.now, domain.actor
        embedding.setdefault("created_at", domain.now)
        return embedding

    @staticmethod
    def siblings(domain, data):
        return sorted(domain.where("face_embedding", user_id=data["user_id"], model_id=data["model_id"]),
                      key=lambda row: row["id"])


class AddEmbedding(EmbeddingEffect):
    def operation(self, _data, before):
        return "FIELD_UPDATE" if before else "CREATION"

    def run(self, domain, data, command):
        if domain.get("face_model", data["model_id"]) is None:
            raise Refused("not_found")
        number = data.get("embedding_id")
        if number is not None and domain.get("face_embedding", number) is not None:
            raise Refused("already_exists")
        if number is None:
            number = domain.draw("face_embedding", (domain.event.data.get("metadata") or {}).get("embedding_id"))
        present = [row for row in self.siblings(domain, data) if row["is_primary"]]
        # Decided: is_primary true takes the place of the present one.
        primary = not present or data.get("is_primary") is True
        for row in present if primary else []:
            row["is_primary"] = False
            self.touch(domain, row)
        domain.put("face_embedding", number, self.touch(domain, {
            "id": number, "user_id": data["user_id"], "model_id": data["model_id"],
            "confidence": float(data["confidence"]), "is_primary": primary, "validated": data.get("validated") is True,
            "first": single(data["vector"][0]), "last": single(data["vector"][-1]), "length": 512}))
        self.touch_user(domain, data["user_id"])
        return Changed(metadata={"embedding_id": number, "is_primary": primary})


class RemoveEmbedding(EmbeddingEffect):
    audits = "DELETION"

    def run(self, domain, data, command):
        row = domain.get("face_embedding", data["embedding_id"])
        if row is None or (row["user_id"], row["model_id"]) != (data["user_id"], data["model_id"]):
            raise Refused("not_found")
        del domain.table("face_embedding")[row["id"]]
        metadata = {"embedding_id": row["id"]}
        # The oldest; of those of one moment the one with the lowest id.
        heirs = [each for each in self.siblings(domain, data) if each["validated"]] if row["is_primary"] else []
        heirs.sort(key=lambda each: (each["created_at"], each["id"]))
        if heirs:
            heirs[0]["is_primary"] = True
            self.touch(domain, heirs[0])
            metadata["promoted"] = heirs[0]["id"]
        self.touch_user(domain, data["user_id"])
        return Changed(metadata=metadata)


EFFECTS = {"face.record_verification": RecordVerification(), "face.add_embedding": AddEmbedding(),
           "face.remove_embedding": RemoveEmbedding()}
